"""The task of configs/net2vec.py: which filters, alone and together, stand for concepts."""

import json
import sys

import jax
import ml_collections
import numpy as np

from concepts.features import Features
from concepts.probe import Probe
from concepts.probes import open_probe
from concepts.single_filters import categories_of
from concepts.tasks.activations import PART, Recorded, layers_of, record
from concepts.tasks.labelled import Labelled, read_labels
from concepts.tasks.layers import look_at
from concepts.tasks.learn import (
  CLASSIFICATION,
  SEGMENTATION,
  concepts_for,
  learn,
  learn_subsets,
)
from concepts.tasks.learn import (
  PART as VECTORS,
)
from concepts.tasks.report import Found, report
from concepts.tasks.scenes import FOLDER, write_scenes
from perturb.data.cutouts import read_stamps
from perturb.errors import UserError, check_choice
from perturb.nets import Pretrained
from perturb.run import devices
from perturb.run.inputs import digest_of
from perturb.run.loop import Outcome
from perturb.run.subjects import named_network
from perturb.store import failures, files
from perturb.store.results import RESULTS
from perturb.store.workdir import Workdir
from perturb.tasks.checks import check_least

FREE = ('workers', 'examples', 'wordnet', 'words')  # What another start may change.


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Dissects the layers of a network, and learns the vectors of concepts.

  The workdir gets `activations/`, the results of a run over the pictures; `vectors/`, what is
  learned; `concepts.csv`, a row for each layer, task and concept; `filters.csv`, a row for each
  filter; `layers.csv`, `neighbours.csv`, `subsets.csv`; figures; and the page `net2vec.html`.

  Source: Fong and Vedaldi, "Net2Vec: Quantifying and Explaining how Concepts are Encoded by Filters
  in Deep Neural Networks", CVPR 2018.
  """
  _check(config)
  net = named_network(config)
  features = layers_of(net, config.layers)
  folder = Workdir(workdir, config, [f'{PART}/{RESULTS}', VECTORS, FOLDER], free=FREE)
  probe = _probe(config, folder)
  recorded, outcome = record(net, probe, features, config, folder.path)
  if jax.process_index():  # The rest is one process's work.
    return outcome.failed
  return _study(config, folder, net, probe, features, recorded, outcome)


def _study(
  config: ml_collections.ConfigDict,
  folder: Workdir,
  net: Pretrained,
  probe: Probe,
  features: Features,
  recorded: Recorded,
  outcome: Outcome,
) -> int:
  """All but the activations; returns how many pictures have failed."""
  labelled = read_labels(probe, recorded.indices, categories_of(probe), config.workers)
  vectors = folder.path / VECTORS / _digest(recorded.names, labelled)
  vectors.mkdir(parents=True, exist_ok=True)
  (folder.path / 'failures.csv').unlink(missing_ok=True)  # Of an earlier start.
  if labelled.problems:
    unread = [(name, '', 'labels', reason) for name, reason in labelled.problems.items()]
    files.write_table(folder.path / 'failures.csv', failures.HEADER, unread)
  _say_left_out(probe, labelled, config)
  found = Found([], [], [])
  first, groups = [one.categories[0] for one in probe.concepts], categories_of(probe)
  for name in features.layers:
    layer = look_at(
      recorded, labelled, name, first, groups, tau=config.tau, align_corners=config.align_corners
    )
    _say_silent(name, layer.thresholds.above)
    found.layers.append(layer)
    for task in config.learned:
      learned = learn(layer, labelled, task, config, vectors)
      found.learned.append(learned)
      if name == features.layers[-1]:
        subsets = learn_subsets(layer, labelled, learned, config, vectors)
        found.subsets.append((learned, *subsets))
  rows = report(folder, net, probe, recorded, labelled, found)
  failed = outcome.failed + len(labelled.problems)
  summary = {'images': outcome.asked, 'done': len(recorded.names), 'failed': failed, 'rows': rows}
  folder.write('summary.json', json.dumps(summary, indent=2) + '\n')
  print(f'\nthe page is {folder.path / "net2vec.html"}')
  return failed


def _check(config: ml_collections.ConfigDict) -> None:
  check_least(config, epochs=1, batch_size=1, examples=0, workers=1, batch=0, seed=0)
  check_choice('config.loss', config.loss, ('overlap', 'bce'))
  if not 0 < config.tau < 1:
    raise UserError(f'config.tau must be between 0 and 1, a share, not {config.tau}')
  for name in ('learning_rate', 'classifier_rate'):
    if not config[name] > 0:
      raise UserError(f'config.{name} must be larger than 0, not {config[name]}')
  if not config.learned:
    raise UserError(f'config.learned: give {SEGMENTATION!r} or {CLASSIFICATION!r}, or both')
  for task in config.learned:
    check_choice('config.learned', task, (SEGMENTATION, CLASSIFICATION))
  if len(set(config.learned)) < len(config.learned):
    raise UserError(f'config.learned names {config.learned[0]!r} twice')
  if min(config.subsets, default=1) < 1:
    raise UserError(f'config.subsets must be numbers of filters from 1, not {config.subsets}')


def _probe(config: ml_collections.ConfigDict, folder: Workdir) -> Probe:
  """The dataset that the config names, or generated scenes."""
  if config.dataset:
    return open_probe(config.dataset)
  root, scenes = folder.path / FOLDER, config.scenes
  if jax.process_index() == 0 and not (root / 'index.csv').exists():
    print(f'composing {scenes.pictures} scenes', flush=True)
    cutouts = read_stamps(scenes.stamps) if scenes.stamps else []
    write_scenes(root, scenes.pictures, scenes.size, scenes.seed, cutouts)
  devices.barrier('scenes are there')
  return open_probe(f'broden:{root}')


def _digest(names: list[str], labelled: Labelled) -> str:
  """Of the pictures and their labels: where one can be read again, vectors are learned anew."""
  text = np.frombuffer('\n'.join(names).encode(), np.uint8)
  pairs = labelled.pairs
  return digest_of((text, labelled.train, pairs.concept, pairs.picture, pairs.masks))


def _say_left_out(probe: Probe, labelled: Labelled, config: ml_collections.ConfigDict) -> None:
  """Names the concepts that have no vector, for each task."""
  for task in config.learned:
    able = set(concepts_for(task, labelled, len(probe.concepts)).tolist())
    without = [one.name for i, one in enumerate(probe.concepts) if i not in able]
    if task == SEGMENTATION:
      whole = {'scene', 'texture'}
      without = [n for n in without if not _is_of(probe, n, whole)]
    if without:
      print(
        f'left out of {task}, without pictures for training or validation: '
        f'{", ".join(without[:10])}{", ..." if len(without) > 10 else ""}',
        file=sys.stderr,
      )


def _is_of(probe: Probe, name: str, categories: set[str]) -> bool:
  return any(one.name == name and set(one.categories) <= categories for one in probe.concepts)


def _say_silent(layer: str, above: np.ndarray) -> None:
  silent = np.flatnonzero(above == 0)
  if len(silent):
    shown = ', '.join(map(str, silent[:10]))
    print(
      f'{layer}: filters that never exceed their threshold, such as constant ones: {shown}'
      f'{", ..." if len(silent) > 10 else ""}',
      file=sys.stderr,
    )
