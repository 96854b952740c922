"""The loops of the studies: configs/representativeness.py, minimal_boxes.py, box.py, parts.py."""

from collections.abc import Callable
import os
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from PIL import Image

from perturb.console import Progress, format_table
from perturb.data.datasets import of_files
from perturb.data.images import Source
from perturb.errors import UserError, check_choice
from perturb.evaluate.boxes import Interrogation, MinimalBoxes, interrogate, minimal_boxes
from perturb.evaluate.parts import Keypoint, intensity, part_saliency, read_keypoints
from perturb.evaluate.representativeness import Representativeness, representativeness, simplify
from perturb.figures import studies as figures
from perturb.figures.style import enlarge, png
from perturb.methods.registry import method_named
from perturb.nets import Pretrained
from perturb.run.subjects import Subject, load_network, load_subject, load_subjects
from perturb.store import files
from perturb.store.workdir import Folder
from perturb.tasks.compare import Failure, check_methods, heatmaps_of, options_of, report
from perturb.tasks.heatmap_store import Heatmaps

SHOWN = (0.2, 0.4, 0.6)  # Thresholds of the simplified masks in the figure.
PICTURES = 8  # In a figure of pictures: the first ones.

# What is done with a picture and its heatmaps, by method.
Study = Callable[[Pretrained, Subject, dict[str, np.ndarray]], None]


def _each_picture(
  config: ml_collections.ConfigDict, workdir: str, study: Study
) -> tuple[Heatmaps, int]:
  """Makes the heatmaps of each picture and hands them to the study; the failures are counted."""
  check_methods(config)
  net = load_network(config)
  folder = Heatmaps(workdir, config)
  progress, failures = Progress(None, 'image'), list[Failure]()
  options = {method: options_of(config, method) for method in config.methods}
  for subject in load_subjects(net, config, failures):
    progress.begin(subject.source.name)
    found = heatmaps_of(net, subject, config.methods, options, folder, failures)
    if found:
      study(net, subject, found)
    progress.advance(1)
  report(folder, failures, progress)
  return folder, len(failures)


def run_representativeness(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Edits each picture by simplified masks, with each perturbation (sec. 5.2, fig. 7).

  The workdir gets the heatmaps, `representativeness.csv` and `.png`.

  Args:
    config: as configs/representativeness.py.
    workdir: folder; made if missing.

  Returns:
    The number of pictures that failed; each has been named on stderr.
  """
  results: list[Representativeness] = []
  rows: list[tuple[Any, ...]] = []
  panels: list[tuple[np.ndarray, str]] = []

  def study(net: Pretrained, subject: Subject, found: dict[str, np.ndarray]) -> None:
    (heat,) = found.values()
    mask = 1 - np.clip(heat, 0, 1)
    result = representativeness(
      net,
      subject.x,
      subject.target,
      mask[None],
      thresholds=config.thresholds,
      perturbations=config.perturbations,
      mode=config.mode,
      key=jax.random.key(config.seed),
      sigma_max=config.sigma_max,
      noise=config.noise,
    )
    results.append(result)
    for p, perturbation in enumerate(result.perturbations):
      for t, threshold in enumerate(result.thresholds):
        probability, scaled = (v[p, 0, t] for v in (result.probabilities, result.normalised))
        rows.append(
          (
            subject.source.name,
            perturbation,
            f'{threshold:g}',
            f'{result.deleted[0, t]:.4f}',
            f'{probability:.6g}',
            f'{scaled:.6g}',
          )
        )
    if not panels:
      panels.extend(_simplified_panels(subject, mask))

  folder, failed = _each_picture(config, workdir, study)
  if results:
    header = ('image', 'perturbation', 'threshold', 'deleted', 'probability', 'normalised')
    files.write_table(folder.path / 'representativeness.csv', header, rows)
    folder.write('representativeness.png', png(figures.suppression_curves(results, panels)))
    print(f'see {folder.path / "representativeness.png"}')
  return failed


def _simplified_panels(subject: Subject, mask: np.ndarray) -> list[tuple[np.ndarray, str]]:
  simple = np.asarray(simplify(jnp.asarray(mask[None]), SHOWN))[0]
  shown = [(subject.picture, subject.class_name), (_kept(subject, mask), 'mask')]
  return shown + [
    (_kept(subject, keep), rf'$\alpha$ = {alpha:g}')
    for keep, alpha in zip(simple, SHOWN, strict=True)
  ]


def _kept(subject: Subject, mask: np.ndarray) -> np.ndarray:
  """The picture, dark where a mask deletes it."""
  return (subject.picture * enlarge(mask, subject.picture.shape)[..., None]).astype(np.uint8)


def run_minimal_boxes(config: ml_collections.ConfigDict, workdir: str) -> int:
  """The smallest box around each method's heatmap that suppresses the class (sec. 5.3, fig. 8).

  The workdir gets the heatmaps, `boxes.csv` and `boxes.png`.

  Args:
    config: as configs/minimal_boxes.py.
    workdir: folder; made if missing.

  Returns:
    The number of pictures, or methods of a picture, that failed; each has been named on stderr.
  """
  found: dict[str, list[MinimalBoxes]] = {}
  rows: list[tuple[Any, ...]] = []

  def study(net: Pretrained, subject: Subject, heatmaps: dict[str, np.ndarray]) -> None:
    for method, heat in heatmaps.items():
      result = minimal_boxes(
        net,
        subject.x,
        subject.target,
        heat[None],
        suppressions=config.suppressions,
        mode=config.mode,
        sigma_max=config.sigma_max,
      )
      found.setdefault(method, []).append(result)
      for s, suppression in enumerate(result.suppressions):
        area = f'{result.areas[0, s]:.6g}'
        box = result.boxes[0, s].tolist()
        rows.append((subject.source.name, method, f'{suppression:g}', area, *box))

  folder, failed = _each_picture(config, workdir, study)
  if found:
    header = ('image', 'method', 'suppression', 'area', 'top', 'left', 'bottom', 'right')
    files.write_table(folder.path / 'boxes.csv', header, rows)
    areas = {method_named(m)[0]: np.concatenate([r.areas for r in rs]) for m, rs in found.items()}
    folder.write('boxes.png', png(figures.box_sizes(areas, config.suppressions)))
    table = [
      (title, len(values), *(f'{100 * v:.1f}' for v in values.mean(axis=0)))
      for title, values in areas.items()
    ]
    titles = ('minimal box, % of the image', 'images', *(f'{s:g}' for s in config.suppressions))
    print(format_table(titles, table))
    print(f'\nsee {folder.path / "boxes.png"}')
  return failed


def run_box(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Blurs a box of each picture and compares the probabilities (sec. 5.1, fig. 6).

  The workdir gets `interrogation.csv` and `.png`.

  Args:
    config: as configs/box.py.
    workdir: folder; made if missing.

  Returns:
    The number of pictures that failed; each has been named on stderr.
  """
  check_choice('config.fit', config.fit, ['crop', 'squash'])
  net = load_network(config)
  folder = Folder(workdir, config, 'pictures', free=('images',))
  progress, failures = Progress(None, 'image'), list[Failure]()
  rows: list[tuple[Any, ...]] = []
  shown = []
  for subject in load_subjects(net, config, failures):
    result: Interrogation = interrogate(
      net, subject.x, subject.target, config.box, sigma_max=config.sigma_max
    )
    full, rest = float(result.full_probabilities[0]), float(result.probabilities[0])
    rows.append((subject.source.name, subject.class_name, f'{full:.6g}', f'{rest:.6g}'))
    image = net.to_image(np.asarray(result.images)[0])
    folder.write(f'pictures/{subject.source.name}.png', files.png_bytes(image))
    shown.append((subject.image, image, subject.class_name, full, rest))
    progress.advance(1)
  report(folder, failures, progress)
  if rows:
    header = ('image', 'class', 'probability', 'box_blurred')
    files.write_table(folder.path / 'interrogation.csv', header, rows)
    folder.write('interrogation.png', png(figures.interrogated(shown[:PICTURES], config.box)))
    print(format_table(header, rows))
    print(f'\nsee {folder.path / "interrogation.png"}')
  return len(failures)


def _placed(point: Keypoint, size: tuple[int, int], shown: tuple[int, ...], fit: str) -> Keypoint:
  """A keypoint of a picture of `size` (width, height), in pixels of the image that is shown."""
  height, width = shown[:2]
  scale = (width / size[0], height / size[1])
  if fit == 'crop':
    scale = (max(scale),) * 2
  x = (point.x + 0.5 - size[0] / 2) * scale[0] + width / 2 - 0.5
  y = (point.y + 0.5 - size[1] / 2) * scale[1] + height / 2 - 0.5
  return point._replace(x=x, y=y)


def run_parts(config: ml_collections.ConfigDict, workdir: str) -> int:
  """The heatmap's intensity at annotated parts, by class (sec. 5.4, fig. 9).

  The workdir gets the heatmaps, `keypoints.csv`, `parts.csv` and `parts.png`.

  Args:
    config: as configs/parts.py.
    workdir: folder; made if missing.

  Returns:
    The number of pictures that failed; each has been named on stderr.
  """
  check_methods(config)
  points = read_keypoints(config.keypoints)
  net = load_network(config)
  folder = Heatmaps(workdir, config)
  progress, failures = Progress(None, 'image'), list[Failure]()
  options = {method: options_of(config, method) for method in config.methods}
  known: list[Keypoint] = []
  intensities: list[float] = []
  shown = []
  for image in dict.fromkeys(point.image for point in points):
    path = os.path.join(config.root, image)
    mine = [point for point in points if point.image == image]
    progress.begin(image)
    try:
      name = os.path.splitext(image)[0].replace(os.sep, '_')
      subject = load_subject(net, of_files([Source(name, path)]), 0, config)
      with Image.open(path) as picture:
        size = picture.size
    except (UserError, OSError) as error:
      failures.append((image, str(error)))
      continue
    found = heatmaps_of(net, subject, config.methods, options, folder, failures)
    if not found:
      continue
    (heat,) = found.values()
    placed = [_placed(point, size, heat.shape, config.fit) for point in mine]
    known += mine
    intensities += [intensity(heat, p.x, p.y) for p in placed]
    large = [(p.part, 2 * p.x + 0.5, 2 * p.y + 0.5) for p in placed]
    shown.append((heat, subject.picture, large, mine[0].class_name))
    progress.advance(1)
  report(folder, failures, progress)
  rows = [(*point, f'{v:.6g}') for point, v in zip(known, intensities, strict=True)]
  files.write_table(folder.path / 'keypoints.csv', (*Keypoint._fields, 'intensity'), rows)
  classes = part_saliency(known, intensities, least_images=config.least_images)
  parts = sorted({point.part for point in known})
  table = [(c.class_name, c.images, *(f'{c.means[part]:.4f}' for part in parts)) for c in classes]
  files.write_table(folder.path / 'parts.csv', ('class', 'images', *parts), table)
  if shown:
    folder.write('parts.png', png(figures.marked_parts(shown[:PICTURES])))
    print(format_table(('class', 'images', *parts), table))
    print(f'\nsee {folder.path / "parts.png"}')
  return len(failures)
