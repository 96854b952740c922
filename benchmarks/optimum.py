"""How good, how stable and how true of other networks extremal masks are.

  python -m benchmarks.optimum --out=benchmarks/optimum_cpu.json

Every mask is binarised to exactly its area. Prints, for each solver and area, of the photographs of
benchmarks/photographs.py (means; medians of the IoUs and the seconds):
  score      of the class, the rest under the paper's normalised blur, with the network searched;
  Lite1, 2   the same regions shown to two networks that took no part in the search;
  pieces     connected regions; perimeter in pixels;
  another    IoU with the mask of another seed, of the image with noise of one grey level, of the
             image shifted by two pixels (the mask shifted back), and saved as JPEG of quality 95;
  agreement  what the solver says of itself, and its rank correlation with the IoU it stands for.
  wins       on how many photographs the score is at least that of TorchRay's mask.
  to best    how much lower the score is than the best one known, which is kept in
             benchmarks/optimum_best.json: a later run can only raise it. With --best=20 so many
             random starts of `fast` are tried for it.

TorchRay's masks after 800 iterations are recorded in benchmarks/torchray_masks.npz, of the areas
0.05, 0.1 and 0.2. They are made again by

  python -m benchmarks.optimum --record=peer/bin/python
"""

from collections.abc import Callable, Sequence
import functools
import json
import pathlib
import tempfile
import time
from typing import Any

from absl import app, flags
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from scipy.stats import spearmanr
from skimage.measure import label, perimeter

from benchmarks.peer import Peer
from benchmarks.photographs import PHOTOGRAPHS, noisy, pixels, recompressed, shifted
from perturb import nets
from perturb.methods.extremal import ExtremalResult, extremal_perturbation
from perturb.nets import Pretrained
from perturb.ops.area import binarise
from perturb.ops.perturbations import blur_pyramid, perturb

SEARCHED = 'efficientnet_lite0'
OTHERS = ('efficientnet_lite1', 'efficientnet_lite2')
SOLVERS: dict[str, dict[str, Any]] = {
  'fast': {'mode': 'fast'},
  'robust': {'mode': 'robust'},
  'robust, 1 restart': {'mode': 'robust', 'restarts': 1},
  'thorough': {
    'mode': 'robust',
    'iterations': 100,
    'views': 8,
    'disc_views': 8,
  },
  'torchray': {'mode': 'torchray'},
}
RECORDED = pathlib.Path(__file__).with_name('torchray_masks.npz')
RECORDED_AREAS = (0.05, 0.1, 0.2)
BEST = pathlib.Path(__file__).with_name('optimum_best.json')
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  'noise': noisy,
  'shift': shifted,
  'JPEG': recompressed,
}

ONLY = flags.DEFINE_list('only', ['fast', 'robust'], f'Solvers, of {", ".join(SOLVERS)}.')
NAMES = flags.DEFINE_list('photographs', list(PHOTOGRAPHS), 'Which of the photographs.')
AREAS = flags.DEFINE_list('areas', ['0.05', '0.1', '0.2'], 'Areas.')
STABLE = flags.DEFINE_boolean('stability', True, 'Also of the changed photographs.')
RECORD = flags.DEFINE_string('record', '', "Python of TorchRay's environment: its masks.")
RANDOM = flags.DEFINE_integer('best', 0, 'Random starts of `fast`, for the best known score.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')

Row = dict[str, Any]
NUMBERS = (SEARCHED, *OTHERS, 'pieces', 'perimeter', 'agreement')


def binary(masks: jax.Array, areas: Sequence[float]) -> np.ndarray:
  """Masks `[A, H, W]`, each with exactly its area of ones."""
  return np.asarray(binarise(masks, jnp.asarray(areas, jnp.float32)))


@jax.jit
def scores(net: Pretrained, pyramid: jax.Array, masks: jax.Array, target: jax.Array) -> jax.Array:
  """Of one image's pyramid under masks `[A, H, W]`: `[A]`."""
  return jax.lax.map(lambda m: net(perturb(pyramid[None], m[None]))[0, target], masks)


@functools.cache
def _shown(network: str, name: str) -> tuple[Pretrained, jax.Array, int]:
  """(network, pyramid, class) of a photograph; the blur is as wide a part of the image in each."""
  net = nets.load(network)
  x = jnp.asarray(net.preprocess(pixels(name, net.size)))
  pyramid = blur_pyramid(x, sigma_max=20 * net.size / 224)
  return net, pyramid, net.class_named(PHOTOGRAPHS[name].label)


def score_of(network: str, name: str, masks: np.ndarray) -> list[float]:
  """The scores of a network for regions `[A, h, w]` of a photograph, resized to its input."""
  net, pyramid, target = _shown(network, name)
  resized = [
    Image.fromarray(m.astype(np.uint8) * 255).resize((net.size,) * 2, Image.Resampling.BILINEAR)
    for m in masks
  ]
  seen = jnp.asarray(np.stack([np.asarray(m) > 127 for m in resized]), jnp.float32)
  return np.asarray(scores(net, pyramid, seen, target)).tolist()


def overlap(a: np.ndarray, b: np.ndarray) -> float:
  """IoU of two binary masks."""
  return float(np.sum((a > 0) & (b > 0)) / np.sum((a > 0) | (b > 0)))


def solved(
  net: Pretrained, name: str, areas: Sequence[float], options: dict[str, Any], change: Any = None
) -> tuple[np.ndarray, ExtremalResult, float]:
  """Binary masks, the result, and the seconds it took."""
  picture = pixels(name, net.size)
  x = net.preprocess(change(picture) if change else picture)
  target = net.class_named(PHOTOGRAPHS[name].label)
  start = time.perf_counter()
  result = jax.block_until_ready(extremal_perturbation(net, x, target, areas, **options))
  seconds = time.perf_counter() - start
  return binary(result.masks[0], areas), result, seconds


def overlaps(
  net: Pretrained, name: str, areas: Sequence[float], options: dict[str, Any], masks: np.ndarray
) -> dict[str, list[float]]:
  """change -> the IoU at each area of the masks with those of the changed problem."""
  found = {'seed': solved(net, name, areas, options | {'key': 1})[0]}
  found |= {kind: solved(net, name, areas, options, by)[0] for kind, by in CHANGES.items()}
  found['shift'] = np.pad(found['shift'], ((0, 0), (0, 2), (0, 2)), 'edge')[:, 2:, 2:]
  return {
    kind: [overlap(*pair) for pair in zip(masks, others, strict=True)]
    for kind, others in found.items()
  }


def rows_of(net: Pretrained, solver: str, name: str, areas: Sequence[float]) -> list[Row]:
  """What is measured of a photograph, a row for each area."""
  options = SOLVERS[solver]
  masks, result, seconds = solved(net, name, areas, options)
  values = {network: score_of(network, name, masks) for network in (SEARCHED, *OTHERS)}
  changed = overlaps(net, name, areas, options, masks) if STABLE.value else {}
  return [
    {
      'solver': solver,
      'photograph': name,
      'area': area,
      'seconds': seconds / len(areas),
      'pieces': int(label(masks[i], connectivity=2).max()),
      'perimeter': float(perimeter(masks[i] > 0)),
      'agreement': float(result.agreement[0, i]),
      **{network: of_each[i] for network, of_each in values.items()},
      **{kind: of_each[i] for kind, of_each in changed.items()},
    }
    for i, area in enumerate(areas)
  ]


def record(net: Pretrained) -> None:
  """Records TorchRay's masks, as bits."""
  found = {}
  with tempfile.TemporaryDirectory() as folder:
    peer, out = Peer(RECORD.value, 'torchray_peer.py', pathlib.Path(folder)), f'{folder}/masks.npy'
    for name, photograph in PHOTOGRAPHS.items():
      x, target = net.preprocess(pixels(name, net.size)), net.class_named(photograph.label)
      areas = list(RECORDED_AREAS)
      peer.ask(x[None], do='solve', target=target, areas=areas, steps=800, out=out)
      found[name] = np.packbits(binary(jnp.asarray(np.load(out)), areas) > 0, axis=-1)
      print(f'recorded: {name}', flush=True)
  np.savez_compressed(RECORDED, **found)


@functools.cache
def torchray_scores(name: str) -> dict[float, float]:
  """Area -> the score of TorchRay's recorded mask."""
  with np.load(RECORDED, allow_pickle=False) as file:
    masks = np.unpackbits(file[name], axis=-1)
  return dict(zip(RECORDED_AREAS, score_of(SEARCHED, name, masks), strict=True))


def raise_best(net: Pretrained, rows: Sequence[Row], areas: Sequence[float]) -> dict[str, float]:
  """'photograph area' -> the best score known, from the file, these rows and random starts."""
  known = json.loads(BEST.read_text()) if BEST.exists() else {}
  for row in rows:
    key = f'{row["photograph"]} {row["area"]:g}'
    known[key] = max(known.get(key, -np.inf), row[SEARCHED])
  for name in NAMES.value if RANDOM.value else ():
    for seed in range(RANDOM.value):
      masks, _, _ = solved(net, name, areas, {'mode': 'fast', 'key': seed})
      for area, score in zip(areas, score_of(SEARCHED, name, masks), strict=True):
        known[f'{name} {area:g}'] = max(known.get(f'{name} {area:g}', -np.inf), score)
  BEST.write_text(json.dumps(known, indent=1, sort_keys=True) + '\n')
  return known


def print_table(rows: Sequence[Row], best: dict[str, float]) -> None:
  """Means over the photographs, a line for each solver and area."""
  kinds = [kind for kind in ('seed', *CHANGES) if kind in rows[0]]
  head = [
    'solver',
    'area',
    'score',
    'wins',
    'to best',
    'Lite1',
    'Lite2',
    'pieces',
    'perimeter',
    *kinds,
  ]
  print(' | '.join([*head, 'agreement', 'with IoU', 's']))
  for solver, area in dict.fromkeys((row['solver'], row['area']) for row in rows):
    some = [row for row in rows if (row['solver'], row['area']) == (solver, area)]
    mean = {key: float(np.mean([row[key] for row in some])) for key in NUMBERS}
    gap = np.mean([best[f'{row["photograph"]} {area:g}'] - row[SEARCHED] for row in some])
    theirs = [torchray_scores(row['photograph']).get(area, np.nan) for row in some]
    wins = np.mean([row[SEARCHED] >= score for row, score in zip(some, theirs, strict=True)])
    stable = [np.mean([row[kind] for kind in kinds]) for row in some] if kinds else []
    said = [row['agreement'] for row in some]
    ranks = spearmanr(said, stable)[0] if stable and np.isfinite(said).all() else np.nan
    print(
      f'{solver} | {area:g} | {mean[SEARCHED]:.2f} | {wins:.2f} | {gap:.2f} | {mean[OTHERS[0]]:.2f}'
      f' | {mean[OTHERS[1]]:.2f} | {mean["pieces"]:.1f} | {mean["perimeter"]:.0f} | '
      + ' | '.join(f'{np.median([row[kind] for row in some]):.2f}' for kind in kinds)
      + f' | {mean["agreement"]:.2f} | {ranks:.2f} | {np.median([r["seconds"] for r in some]):.1f}'
    )


def main(_: Sequence[str]) -> None:
  areas = [float(area) for area in AREAS.value]
  net = nets.load(SEARCHED)
  if RECORD.value:
    record(net)
    return
  rows: list[Row] = []
  for solver in ONLY.value:
    solved(net, NAMES.value[0], areas, SOLVERS[solver])  # Compiles.
    for name in NAMES.value:
      rows += rows_of(net, solver, name, areas)
      print(f'{solver}: {name}', flush=True)
  print_table(rows, raise_best(net, rows, areas))
  if OUT.value:
    pathlib.Path(OUT.value).write_text(json.dumps(rows, indent=1) + '\n')


if __name__ == '__main__':
  app.run(main)
