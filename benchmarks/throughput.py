"""Images x areas a second against the batch, on this machine's device: ours, and TorchRay's.

  python -m benchmarks.throughput --peer=path/of/the/peer/environment/bin/python

EfficientNet-Lite0 at 224 x 224. A batch is so many (image, area) problems solved side by side. Ours
are solved by the default solver to its end; TorchRay's 800 iterations are scaled up from --steps of
them. The share is that of the network's own passes, forward and backward, in a compiled loop. Both
sides take turns; medians. Without --peer, ours alone. Also as JSON with --out.
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
from perturb import extremal_perturbation, keep_freed_memory, nets
from perturb.methods.extremal_solvers import MODES

PEER = flags.DEFINE_string('peer', '', 'Python of the environment with torch and TorchRay.')
BATCHES = flags.DEFINE_list('batches', ['1', '8', '32', '64', '128'], 'Problems side by side.')
STEPS = flags.DEFINE_integer('steps', 20, 'Iterations of TorchRay that are timed, of 800.')
REPEATS = flags.DEFINE_integer('repeats', 3, 'Of each measurement.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')
THEIRS = 800  # Iterations of a run of TorchRay.


def seconds(function, *arguments) -> float:
  """Wall time of one call, until its result is there."""
  start = time.perf_counter()
  jax.block_until_ready(function(*arguments))
  return time.perf_counter() - start


def measure(net: nets.Pretrained, peer: Peer | None, x: np.ndarray, batch: int) -> dict[str, float]:
  """Figures of one batch: x `[batch, H, W, 3]`."""
  steps = MODES['fast'].iterations
  gradient = jax.grad(lambda x, net: net(x)[:, 0].sum())
  loop = jax.jit(
    lambda net, x: jax.lax.fori_loop(0, steps, lambda _, x: x - 1e-9 * gradient(x, net), x)
  )

  def solve():
    return extremal_perturbation(net, x, 0, 0.1, mode='fast', chunk=batch).parameters

  x = jnp.asarray(x)
  compiling = seconds(solve)
  seconds(loop, net, x)
  times: dict[str, list[float]] = {'solve': [], 'passes': [], 'torchray': []}
  for _ in range(REPEATS.value):
    times['solve'].append(seconds(solve))
    times['passes'].append(seconds(loop, net, x))
    if peer:
      areas = np.linspace(0.05, 0.5, batch).tolist()  # TorchRay's batch is the areas of an image.
      out = str(peer.folder / 'masks.npy')
      one = np.asarray(x[:1])
      took = peer.ask(one, do='solve', target=0, areas=areas, steps=STEPS.value, out=out)
      times['torchray'].append(took * THEIRS / STEPS.value)
  ours, passes = (statistics.median(times[name]) for name in ('solve', 'passes'))
  row = {
    'batch': batch,
    'ours_per_second': batch / ours,
    'share_of_the_network': passes / ours,
    'compile_seconds': compiling - ours,
  }
  if peer:
    theirs = statistics.median(times['torchray'])
    row |= {'torchray_per_second': batch / theirs, 'ratio': theirs / ours}
  return row


def main(_: list[str]) -> None:
  keep_freed_memory()
  net = nets.load('efficientnet_lite0')
  print(jax.devices()[0].device_kind, f'JAX {jax.__version__}', flush=True)
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    peer = Peer(PEER.value, 'torchray_peer.py', pathlib.Path(folder)) if PEER.value else None
    for batch in map(int, BATCHES.value):
      x = np.random.RandomState(0).randn(batch, net.size, net.size, 3).astype(np.float32)
      rows.append(measure(net, peer, x, batch))
      print({name: round(value, 3) for name, value in rows[-1].items()}, flush=True)
  if OUT.value:
    made = {'device': jax.devices()[0].device_kind, 'rows': rows}
    pathlib.Path(OUT.value).write_text(json.dumps(made, indent=1) + '\n')


if __name__ == '__main__':
  app.run(main)
