"""Extremal perturbations against TorchRay: same network, weights, photographs and areas, one run.

  python -m benchmarks.extremal --peer=path/of/the/peer/environment/bin/python

Prints three tables (also as JSON with --out):
  pass       one forward and backward pass of the network, ours and torch's, interleaved;
  iteration  what an iteration of the quick solver (`fast`) costs, in passes;
  solve      TorchRay's 800 iterations against the quick solver (`fast`): wall time without
             compilation, until the neutral score is at least TorchRay's. The neutral score of a
             mask is the network's on the image with exactly its a |Omega| largest pixels kept and
             the rest under the paper's normalised blur.
"""

import json
import pathlib
import statistics
import tempfile
import time

from absl import app, flags
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peer import Peer
from perturb import keep_freed_memory, nets
from perturb.data.images import find_images, load_image
from perturb.methods.extremal import extremal_perturbation
from perturb.ops.area import binarise
from perturb.ops.perturbations import blur_pyramid, perturb

PEER = flags.DEFINE_string('peer', None, 'Python of the environment with torch and TorchRay.')
IMAGES = flags.DEFINE_string('images', 'chelsea, coffee, camera, motorcycle_left', 'Photographs.')
STEPS = flags.DEFINE_integer('steps', 800, 'Iterations of TorchRay.')
REPEATS = flags.DEFINE_integer('repeats', 15, 'Of the timed passes and iterations.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')
AREAS = (0.05, 0.1, 0.2)
BUDGETS = (
  5,
  10,
  15,
  20,
  30,
  50,
)  # Iterations of `fast`, each a run of its own.


def seconds(function, *arguments) -> float:
  """Wall time of one call, until its result is there."""
  start = time.perf_counter()
  jax.block_until_ready(function(*arguments))
  return time.perf_counter() - start


def time_passes(net, peer: Peer, x: np.ndarray) -> dict[str, float]:
  """Median seconds, taken in turns, of a pass of each side and of an iteration of our solver.

  A pass is forward and backward to the image: on its own, as a user would call it, and in a
  compiled loop, as the solver runs it (where its buffers are allocated once).
  """
  gradient = jax.jit(lambda net, x: jax.grad(lambda x: net(x)[:, 0].sum())(x))
  few, many = 10, 30

  @jax.jit
  def loop(net, x):
    return jax.lax.fori_loop(0, many, lambda _, x: x - 1e-9 * gradient(net, x), x)

  def solve(steps):
    return extremal_perturbation(net, x, 0, (0.1,), mode='fast', iterations=steps).masks

  for call in (
    lambda: gradient(net, x),
    lambda: loop(net, x),
    lambda: solve(few),
    lambda: solve(many),
  ):
    jax.block_until_ready(call())
  peer.ask(x, do='pass', target=0)
  times: dict[str, list[float]] = {'torch': [], 'ours': [], 'ours in a loop': [], 'iteration': []}
  for _ in range(REPEATS.value):
    times['torch'] += [peer.ask(x, do='pass', target=0) for _ in range(many)]
    times['ours'] += [seconds(gradient, net, x) for _ in range(many)]
    times['ours in a loop'].append(seconds(loop, net, x) / many)
    times['iteration'].append((seconds(solve, many) - seconds(solve, few)) / (many - few))
  return {name: statistics.median(values) for name, values in times.items()}


@jax.jit
def neutral_score(net, levels, masks, areas, target):
  """`[A]`: scores with exactly the a |Omega| largest pixels of each mask kept."""
  kept = binarise(masks, areas)
  return jax.lax.map(lambda mask: net(perturb(levels, mask)[None])[0, target], kept)


def solve_both(net, peer: Peer, x: np.ndarray, target: int) -> list[dict[str, float]]:
  """A row for each area of one photograph."""
  levels = blur_pyramid(jnp.asarray(x[0]))
  areas = jnp.asarray(AREAS)
  path = peer.folder / 'masks.npy'
  their_seconds = peer.ask(
    x, do='solve', target=target, areas=list(AREAS), steps=STEPS.value, out=str(path)
  )
  their_masks = jnp.asarray(np.load(path))
  theirs = neutral_score(net, levels, their_masks, areas, target)
  their_soft = jax.lax.map(lambda m: net(perturb(levels, m)[None])[0, target], their_masks)
  runs = []
  for steps in BUDGETS:
    start = time.perf_counter()
    result = jax.block_until_ready(
      extremal_perturbation(net, x, target, AREAS, mode='fast', iterations=steps)
    )
    run = time.perf_counter() - start
    score = jax.block_until_ready(neutral_score(net, levels, result.masks[0], areas, target))
    runs.append((steps, run, score, result))
  rows = []
  for i, area in enumerate(AREAS):
    # The cheapest budget whose score is TorchRay's or more, and stays so for every larger one.
    enough = next(
      (j for j in range(len(runs)) if all(run[2][i] >= theirs[i] for run in runs[j:])), None
    )
    _, default_seconds, default, result = runs[-1]
    rows.append(
      {
        'area': area,
        'torchray_score': float(theirs[i]),
        'torchray_soft': float(their_soft[i]),
        'torchray_area': float(their_masks[i].mean()),
        'torchray_seconds': their_seconds / len(AREAS),
        'score': float(default[i]),
        'soft': float(result.scores[0, i]),
        'mask_area': float(result.mean_area[0, i]),
        'seconds': default_seconds / len(AREAS),
        'enough_steps': float('nan') if enough is None else runs[enough][0],
        'enough_seconds': float('nan') if enough is None else runs[enough][1] / len(AREAS),
      }
    )
  return rows


def main(_) -> None:
  keep_freed_memory()  # As the command lines do.
  net = nets.load('efficientnet_lite0')
  with tempfile.TemporaryDirectory() as folder:
    peer = Peer(PEER.value, 'torchray_peer.py', pathlib.Path(folder))
    photographs = []
    for source in find_images(IMAGES.value)[0]:
      x = net.preprocess(load_image(source.path, size=net.size))[None]
      photographs.append((source.name, x, int(net(x)[0].argmax())))
    times = time_passes(net, peer, photographs[0][1])
    for name, value in times.items():
      print(f'{name:16s} {1e3 * value:6.1f} ms')
    print(
      f'pass / torch pass: {times["ours"] / times["torch"]:.2f} on its own, '
      f'{times["ours in a loop"] / times["torch"]:.2f} in a loop; iteration / pass: '
      f'{times["iteration"] / times["ours in a loop"]:.2f}',
      flush=True,
    )
    for steps in BUDGETS:  # Compiles.
      jax.block_until_ready(
        extremal_perturbation(net, photographs[0][1], 0, AREAS, mode='fast', iterations=steps)
      )
    rows = []
    print(
      'image            area | TorchRay: neutral soft  area      s | fast: neutral soft  area'
      '    s ratio | enough: steps    s ratio'
    )
    for name, x, target in photographs:
      for row in solve_both(net, peer, x, target):
        rows.append({'image': name, **row})
        print(
          f'{name:16s} {row["area"]:.2f} | {row["torchray_score"]:17.2f} '
          f'{row["torchray_soft"]:4.1f} {row["torchray_area"]:.3f} '
          f'{row["torchray_seconds"]:6.1f} | {row["score"]:13.2f} {row["soft"]:4.1f} '
          f'{row["mask_area"]:.3f} {row["seconds"]:4.1f} '
          f'{row["torchray_seconds"] / row["seconds"]:5.0f} | {row["enough_steps"]:13.0f} '
          f'{row["enough_seconds"]:4.1f} '
          f'{row["torchray_seconds"] / row["enough_seconds"]:5.0f}',
          flush=True,
        )
    whole = statistics.median(row['torchray_seconds'] / row['seconds'] for row in rows)
    enough = statistics.median(row['torchray_seconds'] / row['enough_seconds'] for row in rows)
    print(f'median ratio: {whole:.0f} for the whole default run, {enough:.0f} until enough')
    if OUT.value:
      pathlib.Path(OUT.value).write_text(json.dumps({'times': times, 'rows': rows}, indent=1))


if __name__ == '__main__':
  app.run(main)
