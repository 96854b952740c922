"""How good the channels are that are found, against simpler ways; and how stable, and how fast.

  python -m benchmarks.channel_optimum

The score of the class that the network predicts, with exactly so many channels of a layer kept, all
the others zero: by the solver; by plain backward elimination, which drops one channel at a time,
that whose removal hurts the score least of all; by the paper's SGD, of whose mask the largest
values are kept; by the largest gradient x activation; and of random channels. Then: in how many
cases the solver's score is at least that of backward elimination; the seconds of each, without
compilation; and the overlap (IoU) of the solver's channels with those that it finds when the
photograph has noise of one grey level, is shifted by two pixels, or is saved as JPEG of quality 95,
and the score of the photograph itself with those. Also as JSON with --out.
"""

from collections.abc import Callable, Iterable
import json
import pathlib
import statistics
import time

from absl import app, flags
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.photographs import recompressed, shifted
from perturb import channel_attribution, keep_freed_memory, nets
from perturb.base import pick
from perturb.data.images import find_images, load_image

IMAGES = flags.DEFINE_string(
  'images', 'chelsea, coffee, camera, motorcycle_left, rocket, astronaut', 'Photographs.'
)
LAYERS = flags.DEFINE_list('layers', ['blocks.5', 'blocks.10', 'blocks.15'], 'Of the network.')
COUNTS = flags.DEFINE_list('counts', ['5', '10', '20', '40'], 'Numbers of channels kept.')
DRAWS = flags.DEFINE_integer('draws', 20, 'Sets of random channels, whose mean is reported.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')
WAYS = ('random', 'gradient x activation', 'paper', 'backward elimination', 'elimination')
CHANGES = ('noise', 'shift', 'JPEG')
TOGETHER = 8  # Masks of backward elimination side by side, as in the solver on a CPU.
TIE = 1e-4  # Scores this close, as a share, are equal: the programs round differently.


@jax.jit
def above(part: nets.Pretrained, activations: jax.Array, masks: jax.Array, target: jax.Array):
  """`[N]`: the scores with masks `[N, K]` of activations `[1, h, w, K]`."""
  return pick(part(activations * masks[:, None, None]), jnp.full(len(masks), target))


Score = Callable[[np.ndarray], np.ndarray]  # Masks [N, K] -> [N].


def backward_elimination(score: Score, channels: int, least: int) -> np.ndarray:
  """Masks of K, K - 1, ..., `least` channels: `[K - least + 1, K]`."""
  masks = [np.ones(channels, np.float32)]
  while masks[-1].sum() > least:
    kept = np.flatnonzero(masks[-1])
    tried = np.repeat(masks[-1][None], -(-len(kept) // TOGETHER) * TOGETHER, axis=0)
    tried[np.arange(len(kept)), kept] = 0
    parts = np.split(tried, len(tried) // TOGETHER)
    scores = np.concatenate([score(part) for part in parts])[: len(kept)]
    masks.append(tried[scores.argmax()])
  return np.stack(masks)


def largest(values: np.ndarray, count: int) -> np.ndarray:
  """`[K]`: a mask of the largest values."""
  return (np.argsort(np.argsort(-values, kind='stable')) < count).astype(np.float32)


def by_gradient(net: nets.Pretrained, x: np.ndarray, layer: str, target: int) -> np.ndarray:
  """`[K]`: gradient x activation, summed over the positions."""
  found = net.gradients(x, [layer], target)
  return np.asarray((found.gradients[layer] * found.activations[layer]).sum((0, 1, 2)))


def timed(function: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
  """What a function returns, and its seconds."""
  start = time.perf_counter()
  return function(), time.perf_counter() - start


def compare(
  net: nets.Pretrained, x: np.ndarray, layer: str, target: int, counts: list[int]
) -> tuple[dict[str, dict], np.ndarray]:
  """(way -> its scores and seconds, the solver's masks `[A, K]`) of a photograph and a layer."""
  activations = net.activations(x, [layer])[layer]
  part, channels = net.part(start=layer), activations.shape[-1]

  def score(masks: np.ndarray) -> np.ndarray:
    return np.asarray(above(part, activations, masks, target))

  def attributed(mode: str) -> np.ndarray:
    return np.asarray(channel_attribution(net, x, target, layer, counts, mode=mode).masks[0])

  eliminated, plain = timed(lambda: backward_elimination(score, channels, min(counts)))
  soft, paper = timed(lambda: attributed('paper'))
  found, ours = timed(lambda: attributed('elimination'))
  seconds = {'backward elimination': plain, 'paper': paper, 'elimination': ours}
  random, slopes = np.random.RandomState(0), by_gradient(net, x, layer, target)
  masks = {
    'gradient x activation': [largest(slopes, count) for count in counts],
    'paper': [largest(mask, count) for mask, count in zip(soft, counts, strict=True)],
    'backward elimination': eliminated[channels - np.array(counts)],
    'elimination': found,
  }
  ways = {way: {'scores': score(np.stack(some)).tolist()} for way, some in masks.items()}
  drawn = [[largest(random.rand(channels), c) for _ in range(DRAWS.value)] for c in counts]
  ways['random'] = {'scores': [float(score(np.stack(some)).mean()) for some in drawn]}
  for way, took in seconds.items():
    ways[way]['seconds'] = took
  return {way: ways[way] for way in WAYS}, found


def compile_all(net: nets.Pretrained, x: np.ndarray, layer: str, counts: list[int]) -> None:
  """So that what is timed has been compiled: the programs are those of all photographs."""
  activations = net.activations(x, [layer])[layer]
  above(net.part(start=layer), activations, np.ones((TOGETHER, activations.shape[-1])), 0)
  for mode in ('paper', 'elimination'):
    jax.block_until_ready(channel_attribution(net, x, 0, layer, counts, mode=mode))


def changed(picture: np.ndarray) -> dict[str, np.ndarray]:
  """A picture uint8 `[H, W, 3]` in which a person sees no change."""
  noise = np.random.RandomState(0).randint(-1, 2, picture.shape)
  return {
    'noise': np.clip(picture + noise, 0, 255).astype(np.uint8),
    'shift': shifted(picture),
    'JPEG': recompressed(picture),
  }


def stability(
  net: nets.Pretrained, picture: np.ndarray, layer: str, target: int, masks: np.ndarray
) -> dict[str, dict[str, list[float]]]:
  """Change -> how the masks of the changed picture compare with those of the picture, `[A, K]`.

  `iou` is their overlap, and `scores` those of the picture with the other's channels kept.
  """
  counts = masks.sum(1).astype(int).tolist()
  activations = net.activations(net.preprocess(picture)[None], [layer])[layer]
  found = {}
  for name, other in changed(picture).items():
    result = channel_attribution(net, net.preprocess(other)[None], target, layer, counts)
    others = np.asarray(result.masks[0])
    overlap = np.minimum(masks, others).sum(1) / np.maximum(masks, others).sum(1)
    scores = above(net.part(start=layer), activations, others, target)
    found[name] = {'iou': overlap.tolist(), 'scores': np.asarray(scores).tolist()}
  return found


def measure(net: nets.Pretrained, counts: list[int]) -> Iterable[dict]:
  """A row for each photograph and layer."""
  photographs, _ = find_images(IMAGES.value)
  for layer in LAYERS.value:
    name = net.network.resolve(layer)
    for i, photograph in enumerate(photographs):
      picture = load_image(photograph.path, size=net.size)
      x = net.preprocess(picture)[None]
      scores = net(x)[0]
      target = int(scores.argmax())
      if i == 0:
        compile_all(net, x, name, counts)
      ways, masks = compare(net, x, name, target, counts)
      yield {
        'layer': layer,
        'channels': masks.shape[1],
        'image': photograph.name,
        'class': net.class_name(target),
        'full_score': float(scores[target]),
        'ways': ways,
        'stability': stability(net, picture, name, target, masks),
      }


def summary(rows: list[dict]) -> dict[str, float]:
  """Over all photographs, layers and counts."""
  ours, plain = (
    np.array([row['ways'][way]['scores'] for row in rows])
    for way in ('elimination', 'backward elimination')
  )
  figures = {'at_least_backward_elimination': float((ours >= plain - TIE * abs(plain)).mean())}
  for way in ('backward elimination', 'paper'):
    ratios = [row['ways']['elimination']['seconds'] / row['ways'][way]['seconds'] for row in rows]
    figures[f'seconds_over_{way}'.replace(' ', '_')] = statistics.median(ratios)
  for change in CHANGES:
    values = np.array([row['stability'][change]['iou'] for row in rows])
    figures[f'{change}_mean_iou'] = float(values.mean())
    figures[f'{change}_iou_at_least_0.8'] = float((values >= 0.8).mean())
    others = np.array([row['stability'][change]['scores'] for row in rows])
    figures[f'{change}_median_share_of_the_score'] = float(np.median(others / ours))
  return figures


def show(row: dict, counts: list[int]) -> None:
  print(f'\n{row["image"]}, {row["layer"]}: {row["class"]}, {row["full_score"]:.2f}')
  print(f'{"channels":24}' + ''.join(f'{count:8}' for count in counts) + f'{"seconds":>10}')
  for way, found in row['ways'].items():
    took = f'{found["seconds"]:10.1f}' if 'seconds' in found else ''
    print(f'{way:24}' + ''.join(f'{score:8.2f}' for score in found['scores']) + took)
  for change, found in row['stability'].items():
    print(f'{"IoU, " + change:24}' + ''.join(f'{value:8.2f}' for value in found['iou']))
    print(f'{"its channels here":>24}' + ''.join(f'{s:8.2f}' for s in found['scores']), flush=True)


def main(_: list[str]) -> None:
  keep_freed_memory()  # As the command lines do.
  counts, rows = [int(count) for count in COUNTS.value], []
  for row in measure(nets.load('efficientnet_lite0'), counts):
    show(row, counts)
    rows.append(row)
  figures = summary(rows)
  print('\n' + '\n'.join(f'{name:40}{value:8.3f}' for name, value in figures.items()))
  if OUT.value:
    versions = {'jax': jax.__version__, 'backend': jax.default_backend(), 'counts': counts}
    text = json.dumps(versions | {'summary': figures, 'rows': rows}, indent=1) + '\n'
    pathlib.Path(OUT.value).write_text(text, encoding='utf-8')


if __name__ == '__main__':
  app.run(main)
