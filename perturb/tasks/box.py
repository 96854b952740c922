"""The task of configs/box.py: what blurring a box of the image does (fig. 6)."""

from collections.abc import Sequence

import jax
import ml_collections
import numpy as np

from perturb.console import format_table
from perturb.evaluate.boxes import check_box, interrogate
from perturb.figures import studies as figures
from perturb.figures.style import png
from perturb.nets import Pretrained
from perturb.run.experiment import Experiment, Shape, Share, Step
from perturb.run.labels import targets_of
from perturb.run.loop import Run
from perturb.run.shown import Shown, shown_pictures
from perturb.run.steps import PREDICTION, predict, wrong_numbers, wrong_score
from perturb.run.subjects import dataset_of, load_network
from perturb.run.summary import sum_up
from perturb.store import files
from perturb.store.arrays import Field
from perturb.store.results import RESULTS, Results
from perturb.store.workdir import Workdir
from perturb.tasks.checks import FREE, check_run

HEADER = ('image', 'class', 'probability', 'box_blurred')
PICTURES = 8  # In the figure: the first ones.


def _step(net: Pretrained, config: ml_collections.ConfigDict) -> Step:
  channels = len(net.preprocessing.mean)

  def explain(net: Pretrained, share: Share) -> dict[str, jax.Array]:
    predicted = predict(net, share)
    found = interrogate(
      net, share['x'], predicted['target'], config.box, sigma_max=config.sigma_max
    )
    return predicted | {'box_blurred': found.probabilities, 'blurred': found.images}

  def fields(shape: Shape) -> dict[str, Field]:
    blurred = Field('float32', ('row', 'column', 'channel'), (*shape, channels))
    return PREDICTION | {'box_blurred': Field(), 'blurred': blurred}

  numbers = wrong_numbers('box_blurred', 'blurred')
  return Step(explain, fields, lambda v, i: wrong_score(v, i) or numbers(v, i))


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Blurs a box of each picture and compares the probabilities (sec. 5.1, fig. 6).

  The workdir gets what every run gets, with `box_blurred`, the probability with the box blurred,
  and `blurred`, the network's input then; `interrogation.csv` and `.png`; and `pictures/*.png`.
  """
  check_run(config, ('crop', 'squash'))
  dataset, net = dataset_of(config), load_network(config)
  check_box(config.box, (net.size, net.size))
  experiment = Experiment(net, (_step(net, config),), targets_of(net, dataset, config))
  folder = Workdir(workdir, config, [RESULTS, 'pictures'], free=FREE)
  outcome = Run(experiment, dataset, config, folder.path)()
  names = outcome.done()
  if names and jax.process_index() == 0:
    stored = Results(folder.path)
    _tabulate(net, folder, names, stored)
    _draw(
      net, folder, shown_pictures(net, dataset, names[: config.figures], config, stored), stored
    )
  return sum_up(folder, outcome)


def _tabulate(net: Pretrained, folder: Workdir, names: Sequence[str], stored: Results) -> None:
  rows = [
    (name, net.class_name(int(target)), f'{full:.6g}', f'{rest:.6g}')
    for name, target, full, rest in stored.columns(names, ('target', 'probability', 'box_blurred'))
  ]
  files.write_table(folder.path / 'interrogation.csv', HEADER, rows)
  print(format_table(HEADER, rows[:PICTURES]))


def _draw(net: Pretrained, folder: Workdir, shown: Sequence[Shown], stored: Results) -> None:
  (folder.path / 'pictures').mkdir(exist_ok=True)
  rows = []
  for one in shown:
    after = net.to_image(np.asarray(stored.field(one.name, 'blurred')))
    folder.write(f'pictures/{one.name}.png', files.png_bytes(after))
    class_name = net.class_name(int(stored.field(one.name, 'target')))
    full, rest = (float(stored.field(one.name, field)) for field in ('probability', 'box_blurred'))
    rows.append((one.image, after, class_name, full, rest))
  if rows:
    figure = figures.interrogated(rows[:PICTURES], folder.config.box)
    folder.write('interrogation.png', png(figure))
