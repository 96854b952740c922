"""The task of configs/representativeness.py: simplified masks, three perturbations (fig. 7)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from perturb.evaluate.representativeness import Representativeness, representativeness, simplify
from perturb.figures import studies as figures
from perturb.figures.style import enlarge, png
from perturb.nets import Pretrained
from perturb.run.experiment import Experiment, Share, Step
from perturb.run.labels import targets_of
from perturb.run.loop import Run
from perturb.run.shown import Shown, shown_pictures
from perturb.run.steps import heatmap, prediction, step_name, wrong_numbers
from perturb.run.subjects import dataset_of, load_network, options_of
from perturb.run.summary import sum_up
from perturb.store import files
from perturb.store.arrays import Field
from perturb.store.results import RESULTS, Results
from perturb.store.workdir import Workdir
from perturb.tasks import heatmap_files
from perturb.tasks.checks import FREE, check_one_method

NAME = 'representativeness'
HEADER = ('image', 'perturbation', 'threshold', 'deleted', 'probability', 'normalised')
SHOWN = (0.2, 0.4, 0.6)  # Thresholds of the simplified masks in the figure.


def _masks(heatmaps: jax.Array | np.ndarray) -> jax.Array:
  """What a heatmap keeps if what it marks is deleted."""
  return 1 - jnp.clip(jnp.asarray(heatmaps), 0, 1)


def _step(config: ml_collections.ConfigDict, source: str) -> Step:
  """What simplified masks leave of the probability; `source` is the stored heatmap."""

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    found = representativeness(
      net,
      share['x'],
      share['target'],
      _masks(share[source]),
      thresholds=config.thresholds,
      perturbations=config.perturbations,
      mode=config.mode,
      key=jax.random.key(config.seed),
      sigma_max=config.sigma_max,
      noise=config.noise,
    )
    return {
      'deleted': found.deleted,
      'probabilities': found.probabilities.swapaxes(0, 1),
      'normalised': found.normalised.swapaxes(0, 1),
    }

  shape = (len(config.perturbations), len(config.thresholds))
  fields = {
    'deleted': Field('float32', ('threshold',), shape[1:]),
    'probabilities': Field('float32', ('perturbation', 'threshold'), shape),
    'normalised': Field('float32', ('perturbation', 'threshold'), shape),
  }
  wrong = wrong_numbers('deleted', 'probabilities')
  return Step(explain, lambda _: fields, wrong, name=NAME, needs=('target', source))


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Edits each picture by simplified masks, with each perturbation (sec. 5.2, fig. 7).

  The workdir gets what every run gets, with the heatmaps and the measurements in subgroups;
  `representativeness.csv` and `.png`; and the heatmaps of the first pictures as files.
  """
  method = check_one_method(config)
  source = f'{step_name(method)}/heatmap'
  dataset, net = dataset_of(config), load_network(config)
  steps = (prediction(), heatmap(method, options_of(config, method)), _step(config, source))
  experiment = Experiment(net, steps, targets_of(net, dataset, config))
  folder = Workdir(workdir, config, [RESULTS, heatmap_files.FOLDER], free=FREE)
  heatmap_files.adopt_heatmaps(folder, experiment, dataset, config)
  outcome = Run(experiment, dataset, config, folder.path)()
  names = outcome.done('', NAME)
  if names and jax.process_index() == 0:
    stored = Results(folder.path)
    result = _tabulate(folder, names, stored)
    shown = shown_pictures(net, dataset, names[: max(config.figures, 1)], config, stored)
    heatmap_files.write_heatmaps(folder, [method], outcome, stored, shown[: config.figures])
    panels = _panels(net, shown[0], stored, source) if shown else []
    folder.write('representativeness.png', png(figures.suppression_curves([result], panels)))
  return sum_up(folder, outcome)


def _tabulate(folder: Workdir, names: Sequence[str], stored: Results) -> Representativeness:
  """Writes a row for each image, perturbation and threshold; returns all of them."""
  config = folder.config
  fields = [f'{NAME}/{name}' for name in ('deleted', 'probabilities', 'normalised')]
  values = list(stored.columns(names, fields))
  rows = [
    (name, kind, f'{alpha:g}', f'{deleted[t]:.4f}', f'{rest[p, t]:.6g}', f'{scaled[p, t]:.6g}')
    for name, deleted, rest, scaled in values
    for p, kind in enumerate(config.perturbations)
    for t, alpha in enumerate(config.thresholds)
  ]
  files.write_table(folder.path / 'representativeness.csv', HEADER, rows)
  deleted, rest, scaled = (np.stack([row[i] for row in values]) for i in (1, 2, 3))
  return Representativeness(
    np.asarray(config.thresholds),
    tuple(config.perturbations),
    jnp.asarray(deleted),
    jnp.asarray(rest.swapaxes(0, 1)),
    jnp.asarray(scaled.swapaxes(0, 1)),
  )


def _panels(
  net: Pretrained, one: Shown, stored: Results, source: str
) -> list[tuple[np.ndarray, str]]:
  """A picture, its mask, and this simplified."""
  mask = np.asarray(_masks(stored.field(one.name, source)))
  simple = np.asarray(simplify(jnp.asarray(mask[None]), SHOWN))[0]
  class_name = net.class_name(int(stored.field(one.name, 'target')))
  shown = [(one.picture, class_name), (_kept(one, mask), 'mask')]
  return shown + [
    (_kept(one, keep), f'α = {alpha:g}')  # noqa: RUF001 (the Greek letter is meant)
    for keep, alpha in zip(simple, SHOWN, strict=True)
  ]


def _kept(one: Shown, mask: np.ndarray) -> np.ndarray:
  """The picture, dark where a mask deletes it."""
  return (one.picture * enlarge(mask, one.picture.shape)[..., None]).astype(np.uint8)
