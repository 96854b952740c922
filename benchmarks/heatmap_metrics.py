"""Processor seconds that each metric of heatmaps takes for 10 000 images, on one core.

  taskset -c 0 python -m benchmarks.heatmap_metrics

Heatmaps are 224 x 224, smooth noise with ties (negative parts cut off) and without; masks are of
the same size, and of 375 x 500, to which heatmaps are resampled. Some are timed and scaled up. The
intervals are of one mean over 10 000 images and of 20 class means. Also as JSON with --out.
"""

from collections.abc import Callable
import json
import pathlib
import time
from typing import Any

from absl import app, flags
import numpy as np

from perturb.evaluate.agreement import pearson_correlation, rank_correlation, top_overlap
from perturb.evaluate.intervals import class_mean_interval, mean_interval
from perturb.evaluate.localisation import GRIDS, heatmap_boxes
from perturb.evaluate.localisation_scores import localisation_ious
from perturb.evaluate.overlap import iou_curves, relevance_mass, relevance_rank
from perturb.evaluate.pointing import centre_hits, pointing_game
from perturb.evaluate.structure import structural_similarity

COUNT = flags.DEFINE_integer('count', 300, 'Images that are timed, of 10 000.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')
IMAGES = 10_000


def seconds(function: Callable[..., Any], *arguments: Any, **options: Any) -> float:
  """Processor time of one call."""
  start = time.process_time()
  function(*arguments, **options)
  return time.process_time() - start


def main(_: list[str]) -> None:
  random = np.random.default_rng(0)
  heatmaps = random.standard_normal((COUNT.value, 224, 224), np.float32)
  others = heatmaps + random.standard_normal(heatmaps.shape, np.float32)
  heatmaps[::2] = np.maximum(heatmaps[::2], 0)
  figures: dict[str, float] = {}

  def measure(name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    figures[name] = seconds(function, *arguments, **options) * IMAGES / COUNT.value
    print(f'{figures[name]:7.1f} s  {name}', flush=True)

  for size in ((224, 224), (375, 500)):
    mask = np.zeros(size, bool)
    mask[60:180, 40:160] = True
    masks = np.tile(mask, (COUNT.value, 1, 1))
    place = ' x '.join(map(str, size))
    measure(f'centre_hits, {place}', centre_hits, masks)
    for metric in (pointing_game, relevance_mass, relevance_rank, iou_curves):
      measure(f'{metric.__name__}, {place}', metric, heatmaps, masks)
    for rule in GRIDS:
      measure(f'heatmap_boxes {rule}, {place}', heatmap_boxes, heatmaps, size, rule=rule)
  found, known = heatmap_boxes(heatmaps, (375, 500)), np.tile([60, 40, 180, 160], (COUNT.value, 1))
  measure('localisation_ious', localisation_ious, found, known)
  for alike in (rank_correlation, pearson_correlation, top_overlap, structural_similarity):
    measure(alike.__name__, alike, heatmaps, others)
  values, classes = random.random(IMAGES), random.integers(0, 20, IMAGES)
  for name, interval, arguments in (
    ('mean_interval', mean_interval, (values,)),
    ('class_mean_interval', class_mean_interval, (values, classes, 20)),
  ):
    figures[name] = seconds(interval, *arguments)
    print(f'{figures[name]:7.1f} s  {name}', flush=True)
  if OUT.value:
    pathlib.Path(OUT.value).write_text(json.dumps(figures, indent=1) + '\n')


if __name__ == '__main__':
  app.run(main)
