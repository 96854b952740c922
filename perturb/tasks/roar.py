"""The task of configs/roar.py: remove and retrain, of heatmaps by several methods."""

from collections.abc import Iterator, Mapping
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from perturb.console import Progress, format_table, percent
from perturb.data.datasets import Dataset
from perturb.errors import UserError, check_choice
from perturb.evaluate.intervals import Interval, paired_runs
from perturb.evaluate.removal import mean_colour, without_salient
from perturb.figures import occlusion as figures
from perturb.figures.style import png
from perturb.methods.registry import method_named
from perturb.nets.initialisation import initialised
from perturb.nets.pretrained import Pretrained
from perturb.nets.weights import saved
from perturb.nets.zoo import untrained
from perturb.run.inputs import check_digests, digest_of
from perturb.run.steps import step_name
from perturb.run.subjects import options_of
from perturb.store.failures import Failures
from perturb.store.files import write_table
from perturb.store.kept import kept
from perturb.store.workdir import Workdir
from perturb.tasks.checks import check_least, check_method
from perturb.tasks.in_memory import Split, read_split
from perturb.tasks.train_data import labelled
from perturb.training.anew import Plan, Training, make_training
from perturb.training.recipe import Recipe
from perturb.training.steps import predictions

FREE = ('data_dir', 'workers', 'methods', 'shares', 'seeds')  # What another start may change.
EACH = ('method', 'share', 'seed', 'accuracy')
MEANS = ('method', 'share', 'accuracy', 'deviation', 'difference', 'low', 'high', 'seeds')
RANDOM = 'random'  # The baseline: pixels in an order of no meaning.
WHOLE = ''  # In place of a method, where nothing is removed.
AT_ONCE = 250  # Pictures that are explained in one call.

Accuracies = dict[tuple[str, float], np.ndarray]  # (method, share) -> of each seed [S]


def _check(config: ConfigDict) -> None:
  check_choice('config.fit', config.fit, ('crop', 'squash'))
  check_choice('config.target', config.target, ('', 'label'))
  check_least(
    config, epochs=1, batch_size=1, folds=2, workers=1, seeds=1, train_count=0, learning_rate=0
  )
  if not config.methods:
    raise UserError('config.methods: give at least one')
  for method in config.methods:
    check_method(method, options_of(config, method))
  if not len(config.shares) or any(not 0 < share <= 1 for share in config.shares):
    raise UserError(
      f'config.shares must be above 0 and at most 1, not {tuple(config.shares)}; 0 is always there'
    )


class Study(NamedTuple):
  """What all trainings share.

  Attributes:
    folder: of the run.
    net: the architecture.
    split: the pictures.
    train: a training on as many pictures as there are.
    members: which pictures are trained on, `[M]`.
  """

  folder: Workdir
  net: Pretrained
  split: Split
  train: Training
  members: np.ndarray

  def network(self, images: np.ndarray, seed: int) -> Pretrained:
    """A network trained on some pictures `[N, H, W, 3]`, from one seed."""
    labels = jnp.asarray(self.split.labels)
    key = jax.random.key(seed)
    net = initialised(self.net, key)
    own = jax.random.fold_in(key, 1)
    return self.train(net, jnp.asarray(images), labels, jnp.asarray(self.members), own)

  def right(self, net: Pretrained, images: np.ndarray) -> np.ndarray:
    """Whether a network is right about each picture of the test, bool `[T]`."""
    test = self.split.test
    found = predictions(net, jnp.asarray(images), jnp.asarray(test))
    return np.asarray(found) == self.split.labels[test]


def run(config: ConfigDict, workdir: str) -> int:
  """Removes what a heatmap marks from all pictures, trains anew, and asks how much is lost (ROAR).

  The workdir gets `config.json`, `versions.json`, `inputs.json`; `network/`, trained on the
  pictures as they are, which is explained; `results/`, the heatmaps of each method and whether each
  retrained network is right about each picture; `roar.csv`, the accuracy of each network;
  `roar_means.csv`, their means and the differences to the random baseline; and `roar.png`. What it
  holds is not computed again: methods, shares and seeds can be added.
  """
  _check(config)
  dataset = labelled(config)
  net = untrained(config.network, dataset.class_names, config.preprocessing, 0)
  folder = Workdir(workdir, config, ['results'], FREE)
  failures = Failures(folder.path)
  study = _study(folder, dataset, net, failures)
  explained = _explained(study)
  accuracies = _accuracies(study, explained)
  _tabulate(folder, accuracies)
  _draw(study, accuracies)
  return failures.count


def _study(folder: Workdir, dataset: Dataset, net: Pretrained, failures: Failures) -> Study:
  config = folder.config
  split = read_split(config, dataset, net.size, failures)
  check_digests(folder.path, {'data': digest_of((split.images, split.labels, split.test))})
  members = split.drawn(config.train_count, config.seed)
  plan = Plan(config.epochs, config.batch_size, config.learning_rate)
  recipe = Recipe(pad=config.pad)
  return Study(folder, net, split, make_training(net, recipe, plan, len(members)), members)


def _explained(study: Study) -> Pretrained:
  """The network whose heatmaps are judged: trained on the pictures as they are, from seed 0."""
  place = study.folder.path / 'network'
  if (place / saved.DESCRIPTION).exists():
    return saved.read_network(place)
  net = study.network(study.split.images, 0)
  saved.save(net, place)
  return net


def _heatmaps(study: Study, net: Pretrained, method: str) -> np.ndarray:
  """Of every picture that is trained on or tested, others are zero: float32 `[N, H, W]`."""
  config, split = study.folder.config, study.split
  if method == RANDOM:
    return np.random.RandomState(config.seed).rand(*split.images.shape[:3]).astype(np.float32)
  function, options = method_named(method)[1], options_of(config, method)
  used = np.union1d(study.members, split.test)
  found = np.zeros(split.images.shape[:3], np.float32)
  progress = Progress(len(used), 'picture')
  progress.begin(f'heatmaps of {method}')
  for start in range(0, len(used), AT_ONCE):
    some = used[start : start + AT_ONCE]
    filled = np.resize(some, min(AT_ONCE, len(used)))  # One shape, one program.
    x = jnp.asarray(net.preprocess(split.images[filled]))
    target = split.labels[filled] if config.target == 'label' else np.asarray(net(x)).argmax(-1)
    found[some] = np.asarray(function(net, x, target, **options))[: len(some)]
    progress.advance(len(some))
  progress.close()
  if not np.isfinite(found).all():
    raise UserError(f'config.methods: heatmaps of {method!r} have values that are not numbers')
  return found


def _accuracies(study: Study, explained: Pretrained) -> Accuracies:
  """Of every method, share and seed; what is in files is not computed again."""
  config, split, results = study.folder.config, study.split, study.folder.results
  colour = mean_colour(split.images[study.members])
  methods = [RANDOM, *config.methods]
  progress = Progress((1 + len(methods) * len(config.shares)) * config.seeds, 'network')
  found = Accuracies()

  def measure(place: str, images: np.ndarray) -> np.ndarray:
    def right(seed: int) -> np.ndarray:
      return study.right(study.network(images, seed), images)

    each = []
    for seed in range(config.seeds):
      each.append(kept(results / place / f'{seed}.npy', functools.partial(right, seed)).mean())
      progress.advance(1)
    return np.array(each)

  found[WHOLE, 0.0] = measure('whole', split.images)
  for method in methods:
    name = step_name(method)
    make = functools.partial(_heatmaps, study, explained, method)
    heatmaps = kept(results / name / 'heatmaps.npy', make)
    for share in config.shares:
      images = _without(study, split.images, heatmaps, share, colour)
      found[method, share] = measure(f'{name}/{share:g}', images)
  progress.close()
  return found


def _without(
  study: Study, images: np.ndarray, heatmaps: np.ndarray, share: float, colour: np.ndarray
) -> np.ndarray:
  key = jax.random.key(study.folder.config.seed)
  return without_salient(images, heatmaps, share, colour, key=key)


def _summary(accuracies: Accuracies) -> Iterator[tuple[str, float, np.ndarray, Interval]]:
  """(method, share, accuracies, what they are above the random baseline's)."""
  for (method, share), each in accuracies.items():
    random = each if method == WHOLE else accuracies[RANDOM, share]
    yield method, share, each, paired_runs(each, random)


def _deviation(each: np.ndarray) -> float:
  return float(each.std(ddof=1)) if len(each) > 1 else np.nan


def _tabulate(folder: Workdir, accuracies: Accuracies) -> None:
  """Writes `roar.csv` and `roar_means.csv`, and prints the means."""
  each = [
    (method, f'{share:g}', seed, f'{accuracy:.6g}')
    for (method, share), found in accuracies.items()
    for seed, accuracy in enumerate(found)
  ]
  write_table(folder.path / 'roar.csv', EACH, each)
  rows = [
    (method, f'{share:g}', *(f'{v:.6g}' for v in (found.mean(), _deviation(found), *gap[:3])), n)
    for method, share, found, gap in _summary(accuracies)
    for n in [len(found)]
  ]
  write_table(folder.path / 'roar_means.csv', MEANS, rows)
  shares = list(folder.config.shares)
  whole = accuracies[WHOLE, 0.0].mean()
  lines = [
    (_title(method), '', f'{whole:.3f}', *(f'{accuracies[method, s].mean():.3f}' for s in shares))
    for method in (RANDOM, *folder.config.methods)
  ]
  print(format_table(('method', '', '0 %', *map(percent, shares)), lines))


def _title(method: str) -> str:
  return 'Random' if method == RANDOM else method_named(method)[0]


def _draw(study: Study, accuracies: Accuracies) -> None:
  """Writes `roar.png`: accuracy over the share of each method, and a changed picture."""
  config, split = study.folder.config, study.split
  whole = accuracies[WHOLE, 0.0]
  curves = {
    _title(method): np.stack([whole, *(accuracies[method, s] for s in config.shares)])
    for method in (RANDOM, *config.methods)
  }
  shown, colour = split.test[:1], mean_colour(split.images[study.members])
  strips: Mapping[str, list[np.ndarray]] = {
    _title(method): [
      _without(study, split.images[shown], _stored(study, method)[shown], share, colour)[0]
      for share in config.shares
    ]
    for method in (RANDOM, *config.methods)
  }
  shares = np.array([0, *config.shares])
  study.folder.write('roar.png', png(figures.retrained(shares, curves, strips)))


def _stored(study: Study, method: str) -> np.ndarray:
  return np.load(study.folder.results / step_name(method) / 'heatmaps.npy', mmap_mode='r')
