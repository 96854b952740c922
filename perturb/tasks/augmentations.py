"""The task of configs/augmentations.py: ways of training, on plain and on occluded pictures."""

from collections.abc import Callable, Iterator, Mapping
import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from perturb.chunks import default_chunk, default_forward_chunk, mapped
from perturb.console import Progress, format_table, percent
from perturb.errors import UserError, check_choice
from perturb.evaluate.intervals import Interval, paired_runs
from perturb.evaluate.occlusion_robustness import accuracy_under_occlusion
from perturb.figures import occlusion as figures
from perturb.figures.style import png
from perturb.nets.initialisation import initialised
from perturb.nets.pretrained import Pretrained
from perturb.nets.zoo import untrained
from perturb.run.inputs import check_digests, digest_of
from perturb.store.failures import Failures
from perturb.store.files import write_table
from perturb.store.kept import kept
from perturb.store.workdir import Workdir
from perturb.tasks.checks import check_least
from perturb.tasks.in_memory import Split, read_split
from perturb.tasks.train_data import labelled
from perturb.training import occlude
from perturb.training.anew import Plan, make_training
from perturb.training.mode import norm_grad
from perturb.training.recipe import Recipe

FREE = ('data_dir', 'workers', 'compared', 'seeds', 'reference')  # What another start may change.
EACH = ('row', 'test', 'seed', 'accuracy')
MEANS = (
  'row', 'test', 'accuracy', 'deviation', 'against', 'difference', 'low', 'high', 'seeds',
)  # fmt: skip
PLAIN, SALIENT = 'plain', 'salient_square'
CELLS = 4  # Of hide-and-seek, along a side: G of the paper.

Right = Callable[[Pretrained, jax.Array, jax.Array], jax.Array]
Accuracies = dict[str, np.ndarray]  # Row -> accuracy of each seed and test, [S, C].


class Row(NamedTuple):
  """A way of training.

  Attributes:
    recipe: what is done to pictures, activations and labels.
    copies: of each picture in a batch.
    against: the row that it is compared with; '' for none.
  """

  recipe: Recipe
  copies: int
  against: str


def rows_of(config: ConfigDict) -> dict[str, Row]:
  """The rows that are compared, by name.

  Raises:
    UserError: names the row, the field and what would be right.
  """
  known = list(config.rows)
  for name in config.compared:
    check_choice('config.compared', name, known)
  if not config.compared:
    raise UserError('config.compared: give at least one row')
  if config.reference:
    check_choice('config.reference', config.reference, known)
  return {name: _row(config, name) for name in config.compared}


def _row(config: ConfigDict, name: str) -> Row:
  fields = config.rows[name].to_dict()
  copies, against = fields.pop('copies', 1), fields.pop('against', '')
  unknown = [field for field in fields if field not in Recipe.__dataclass_fields__]
  if unknown:
    raise UserError(
      f'config.rows.{name}: {unknown[0]!r} must be one of copies, against, '
      f'{", ".join(Recipe.__dataclass_fields__)}'
    )
  if copies < 1:
    raise UserError(f'config.rows.{name}.copies must be at least 1, not {copies}')
  if against:
    check_choice(f'config.rows.{name}.against', against, list(config.rows))
  try:
    return Row(Recipe(**{'pad': config.pad, 'flip': config.flip} | fields), copies, against)
  except UserError as error:
    raise UserError(f'config.rows.{name}: {error}') from error


def tests_of(config: ConfigDict) -> list[str]:
  """The test sets by name: plain, random cells, hide-and-seek, the most salient square."""
  random = [f'random_{share:g}' for share in config.shares]
  return [PLAIN, *random, *(f'hide_and_seek_{keep:g}' for keep in config.keeps), SALIENT]


def run(config: ConfigDict, workdir: str) -> int:
  """Trains networks in several ways, each from several seeds, and tests them on hidden pictures.

  The workdir gets `config.json`, `versions.json`, `inputs.json`; `results/`, whether each network
  is right about each picture of each test; `augmentations.csv`, the accuracy of each network;
  `augmentations_means.csv`, means, deviations, and the paired differences to the row that each is
  held against; and `augmentations.png`. What it holds is not computed again: other rows of the
  config can be compared, and seeds added.
  """
  rows = _check(config)
  dataset = labelled(config)
  net = untrained(config.network, dataset.class_names, config.preprocessing, 0)
  net.network.resolve(config.layer)
  folder = Workdir(workdir, config, ['results'], FREE)
  failures = Failures(folder.path)
  split = read_split(config, dataset, net.size, failures)
  check_digests(folder.path, {'data': digest_of((split.images, split.labels, split.test))})
  accuracies = _accuracies(folder, split, net, rows)
  _tabulate(folder, rows, accuracies)
  _draw(folder, rows, accuracies)
  return failures.count


def _check(config: ConfigDict) -> dict[str, Row]:
  check_choice('config.fit', config.fit, ('crop', 'squash'))
  check_least(
    config, epochs=1, batch_size=1, folds=2, workers=1, seeds=1, train_count=0, learning_rate=0,
    grid=1, side=1,
  )  # fmt: skip
  for field in ('shares', 'keeps'):
    wrong = [value for value in config[field] if not 0 <= value <= 1]
    if wrong:
      raise UserError(f'config.{field} must be between 0 and 1, not {wrong[0]:g}')
  return rows_of(config)


def _accuracies(
  folder: Workdir, split: Split, net: Pretrained, rows: Mapping[str, Row]
) -> Accuracies:
  """Of every row and seed, one seed after the other; what is in files is not computed again."""
  config, right = folder.config, _make_right(folder.config)
  images, labels = jnp.asarray(split.images), jnp.asarray(split.labels)
  x, answers = jnp.asarray(net.preprocess(split.images[split.test])), labels[split.test]
  count = config.train_count or len(split.known)
  plan = Plan(config.epochs, config.batch_size, config.learning_rate)
  trainings = {
    name: make_training(net, row.recipe, plan, count, row.copies) for name, row in rows.items()
  }

  def measure(name: str, seed: int) -> np.ndarray:
    key = jax.random.key(seed)
    members = jnp.asarray(split.drawn(config.train_count, seed))
    first, own = initialised(net, key), jax.random.fold_in(key, 1)
    trained = trainings[name](first, images, labels, members, own)
    return np.asarray(right(trained, x, answers))

  found: dict[str, list[np.ndarray]] = {name: [] for name in rows}
  progress = Progress(len(rows) * config.seeds, 'network')
  for seed, name in itertools.product(range(config.seeds), rows):
    path = folder.results / name / f'{seed}.npy'
    found[name].append(kept(path, functools.partial(measure, name, seed)).mean(1))
    progress.advance(1)
  progress.close()
  return {name: np.stack(each) for name, each in found.items()}


def _make_right(config: ConfigDict) -> Right:
  """A compiled function of (network, x `[T, H, W, C]`, labels `[T]`): bool `[C, T]`, of each test.

  The occlusions are the same for all networks, but for the salient square, which is each network's
  own: by its NormGrad of the label, as in training.
  """
  key = jax.random.key(config.seed)

  def right_of(net: Pretrained, x: jax.Array, labels: jax.Array) -> jax.Array:
    def some(index: jax.Array) -> jax.Array:
      return net(x[index]).argmax(-1) == labels[index]

    return mapped(some, len(x), default_forward_chunk(x.shape[1:3]))

  def saliency(net: Pretrained, x: jax.Array, labels: jax.Array) -> jax.Array:
    def some(index: jax.Array) -> jax.Array:
      return norm_grad(net.network, net.variables, x[index], labels[index], config.layer)

    return mapped(some, len(x), default_chunk(x.shape[1:3]))

  @jax.jit
  def right(net: Pretrained, x: jax.Array, labels: jax.Array) -> jax.Array:
    shares = (0.0, *config.shares)
    cells = accuracy_under_occlusion(net, x, labels, shares=shares, grid=config.grid, key=key)
    found = [cells.right.T > 0]
    for keep in config.keeps:
      shown = occlude.hide_and_seek(key, x, grid=CELLS, keep=keep)
      found.append(right_of(net, shown, labels)[None])
    maps = saliency(net, x, labels)
    shown = occlude.salient(key, x, maps, side=config.side, jitter=0)
    return jnp.concatenate([*found, right_of(net, shown, labels)[None]])

  return right


def _gap(accuracies: Accuracies, name: str, other: str, test: int) -> Interval | None:
  """What a row is above another, of the seeds that both have; None if there is no other."""
  if other not in accuracies or other == name:
    return None
  return paired_runs(accuracies[name][:, test], accuracies[other][:, test])


def _tabulate(folder: Workdir, rows: Mapping[str, Row], accuracies: Accuracies) -> None:
  """Writes both tables, prints the means, and writes them as `augmentations.md` too."""
  tests = tests_of(folder.config)
  each = [
    (name, test, seed, f'{found[seed, t]:.6g}')
    for name, found in accuracies.items()
    for t, test in enumerate(tests)
    for seed in range(len(found))
  ]
  write_table(folder.path / 'augmentations.csv', EACH, each)
  means = list(_means(folder.config, rows, accuracies))
  write_table(folder.path / 'augmentations_means.csv', MEANS, means)
  lines = [
    (name, row.against, *(_cell(accuracies, name, row.against, t) for t in range(len(tests))))
    for name, row in rows.items()
  ]
  header = ('training', 'against', *tests)
  print(format_table(header, lines))
  marked = [header, ['---'] * len(header), *lines]
  folder.write('augmentations.md', ''.join(f'| {" | ".join(line)} |\n' for line in marked))


def _means(
  config: ConfigDict, rows: Mapping[str, Row], accuracies: Accuracies
) -> Iterator[tuple[Any, ...]]:
  """A line for each row, test and row that it is held against: its own, and the reference."""
  for name, found in accuracies.items():
    others = list(dict.fromkeys((rows[name].against, config.reference)))
    for t, test in enumerate(tests_of(config)):
      numbers = (f'{found[:, t].mean():.6g}', f'{_deviation(found[:, t]):.6g}')
      gaps = {other: gap for other in others if (gap := _gap(accuracies, name, other, t))}
      for other, gap in gaps.items():
        yield (name, test, *numbers, other, *(f'{v:.6g}' for v in gap[:3]), gap.used)
      if not gaps:
        yield (name, test, *numbers, '', '', '', '', len(found))


def _deviation(values: np.ndarray) -> float:
  return float(values.std(ddof=1)) if len(values) > 1 else np.nan


def _cell(accuracies: Accuracies, name: str, other: str, test: int) -> str:
  """'97.1 ± 0.2 +': percent; + or - where the interval of the difference leaves out 0."""
  values, gap = accuracies[name][:, test], _gap(accuracies, name, other, test)
  sign = '' if gap is None else {1: ' +', 0: '', -1: ' -'}[_surely(gap)]
  return f'{100 * values.mean():.1f} ± {100 * _deviation(values):.1f}{sign}'


def _surely(gap: Interval) -> int:
  """1 for better, -1 for worse, 0 where the interval has 0 in it, or is none."""
  return int(gap.low > 0) - int(gap.high < 0)


def _draw(folder: Workdir, rows: Mapping[str, Row], accuracies: Accuracies) -> None:
  """Writes `augmentations.png`: every network, and which rows differ from what they are against."""
  panels = []
  for t, test in enumerate(tests_of(folder.config)):
    gaps = [_gap(accuracies, name, row.against, t) for name, row in rows.items()]
    signs = [0 if gap is None else _surely(gap) for gap in gaps]
    values = np.stack([accuracies[name][:, t] for name in rows])
    panels.append(figures.Compared(_title(test), values, np.array(signs)))
  figure = figures.compared_rows({name: row.against for name, row in rows.items()}, panels)
  folder.write('augmentations.png', png(figure))


def _title(test: str) -> str:
  """'hide-and-seek, p = 0.5' of 'hide_and_seek_0.5'."""
  if test in (PLAIN, SALIENT):
    return {PLAIN: 'plain', SALIENT: 'most salient\nsquare hidden'}[test]
  kind, _, number = test.rpartition('_')
  if kind == 'random':
    return f'{percent(float(number))} of\ncells hidden'
  return f'hide-and-seek,\np = {number}'
