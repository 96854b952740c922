"""The loop of configs/adversarial.py: crafting, detection by heatmaps, recovery (fig. 10)."""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from perturb.console import Progress, format_table
from perturb.data.digits import load_digits, split
from perturb.errors import UserError, check_choice
from perturb.evaluate.adversarial import Adversarial, adversarial_examples, detect, recover_labels
from perturb.figures import studies as figures
from perturb.figures.style import png
from perturb.methods.registry import method_named
from perturb.nets import Pretrained
from perturb.run.subjects import load_network, load_subjects
from perturb.store import files
from perturb.store.workdir import Folder
from perturb.tasks.compare import Failure, check_methods, options_of, report

BATCH = 50  # Images in a call of a method.
PAIRS = 6  # In the figure.


def _images(
  net: Pretrained, config: ml_collections.ConfigDict, failures: list[Failure]
) -> np.ndarray:
  """Preprocessed images `[N, H, W, C]`."""
  if config.data == 'images':
    found = [subject.x for subject in load_subjects(net, config, failures)]
    if not found:
      raise UserError(f'config.images: none of {config.images!r} can be used')
    return np.stack(found)
  examples = split(load_digits(), config.test_share, config.seed)[1]
  order = np.random.RandomState(config.seed).permutation(len(examples.labels))[: config.count]
  return net.preprocess(examples.images[order])


def _heatmaps(
  net: Pretrained, x: jax.Array, labels: jax.Array, method: str, options: dict[str, Any]
) -> np.ndarray:
  function = method_named(method)[1]
  parts = [
    function(net, x[i : i + BATCH], labels[i : i + BATCH], **options)
    for i in range(0, len(x), BATCH)
  ]
  return np.concatenate([np.asarray(part) for part in parts])


def _check(config: ml_collections.ConfigDict) -> None:
  check_methods(config)
  check_choice('config.data', config.data, ['digits', 'images'])
  if config.mask_method not in config.methods:
    raise UserError(f'config.mask_method {config.mask_method!r} must be one of config.methods')


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Crafts adversarial examples, tells them by each method's heatmaps, and undoes them.

  The workdir gets `study/adversarial.npz` (images and labels), `study/<method>.npz` (heatmaps,
  clean and adversarial), `detection.csv` and `.png`, `recovery.csv` and `pairs.png`.

  Args:
    config: as configs/adversarial.py.
    workdir: folder; made if missing.

  Returns:
    The number of pictures that failed; each has been named on stderr.

  Raises:
    UserError: for a config that cannot be run at all.
  """
  _check(config)
  net = load_network(config)
  failures = list[Failure]()
  x = _images(net, config, failures)
  folder = Folder(workdir, config, 'study')
  progress = Progress(len(config.methods), 'method')
  progress.begin(f'crafting {len(x)} examples')
  crafted = adversarial_examples(net, x, epsilon=config.epsilon)
  _write(folder, 'adversarial', {'clean': x, **crafted._asdict()})
  rows, accuracies = [], {}
  for method in config.methods:
    progress.begin(method)
    options = options_of(config, method)
    pair = (
      _heatmaps(net, jnp.asarray(x), crafted.clean_labels, method, options),
      _heatmaps(net, crafted.images, crafted.labels, method, options),
    )
    _write(folder, method.replace(':', '_'), dict(zip(('clean', 'adversarial'), pair, strict=True)))
    found = detect(*pair, epochs=config.epochs, seed=config.seed)
    title = method_named(method)[0]
    accuracies[title] = found.accuracy
    rows.append((method, len(x), len(found.predicted), f'{found.accuracy:.4f}'))
    progress.advance(1)
    if method == config.mask_method:
      _recover(folder, net, crafted, pair[1])
      folder.write('pairs.png', png(_pairs(net, x, crafted, pair)))
  header = ('method', 'images', 'held_out_heatmaps', 'accuracy')
  files.write_table(folder.path / 'detection.csv', header, rows)
  folder.write('detection.png', png(figures.detections(accuracies)))
  report(folder, failures, progress)
  print(format_table(header, rows))
  print(f'\nsee {folder.path / "detection.png"}')
  return len(failures)


def _write(folder: Folder, name: str, arrays: dict[str, Any]) -> None:
  folder.write(f'study/{name}.npz', files.npz_bytes({k: np.asarray(v) for k, v in arrays.items()}))


def _recover(folder: Folder, net: Pretrained, crafted: Adversarial, heat: np.ndarray) -> None:
  recovery = recover_labels(net, crafted, 1 - np.clip(heat, 0, 1))
  fooled = np.mean(np.asarray(crafted.labels) != np.asarray(crafted.clean_labels))
  row = (len(heat), f'{fooled:.4f}', f'{recovery.top1:.4f}', f'{recovery.top5:.4f}')
  header = ('images', 'fooled', 'recovered_top1', 'recovered_top5')
  files.write_table(folder.path / 'recovery.csv', header, [row])
  print(format_table(header, [row]) + '\n')


def _pairs(
  net: Pretrained, x: np.ndarray, crafted: Adversarial, pair: tuple[np.ndarray, np.ndarray]
) -> Any:
  """Fooled images first: image, heatmap, adversarial example, its heatmap (fig. 10, left)."""
  fooled = np.asarray(crafted.labels) != np.asarray(crafted.clean_labels)
  shown = np.argsort(~fooled, kind='stable')[:PAIRS]
  sides = ((x, crafted.clean_labels, pair[0]), (crafted.images, crafted.labels, pair[1]))
  columns = []
  for i in shown:
    names = [net.class_name(int(labels[i])) for _, labels, _ in sides]
    pictures = [net.to_image(np.asarray(images[i])) for images, _, _ in sides]
    columns.append(list(zip(pictures, [heat[i] for *_, heat in sides], names, strict=True)))
  return figures.adversarial_pairs(columns)
