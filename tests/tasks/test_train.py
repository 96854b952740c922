"""Training a network: it learns, what is held out stays so, and being killed changes nothing."""

import csv
import dataclasses

import jax
import numpy as np
from PIL import Image
import pytest

from configs import train_mnist
from perturb import nets
from perturb.data.datasets import open_dataset
from perturb.data.digits import load_digits
from perturb.errors import UserError
from perturb.tasks import train as training_command
from perturb.tasks import train_data
from perturb.tasks.train_evaluate import Evaluation
from perturb.training import examples


def brief(epochs=1):
  config = train_mnist.get_config()
  config.epochs, config.folds = epochs, 2
  config.batch_size, config.learning_rate = 25, 0.003
  return config


def test_digits_are_mnists():
  digits = load_digits()
  assert digits.images.shape == (5000, 28, 28, 3) and digits.images.dtype == np.uint8
  np.testing.assert_array_equal(np.bincount(digits.labels), [500] * 10)
  assert digits.images.max() == 255 and digits.images[:, 0, 0].max() == 0


def rows_of(path):
  return list(csv.DictReader(path.open()))


def test_it_learns_the_digits(tmp_path, capsys):
  assert training_command.run(brief(), str(tmp_path)) == 0
  (row,) = rows_of(tmp_path / 'metrics.csv')
  assert float(row['test_accuracy']) > 0.9
  assert 'epoch 1: loss' in capsys.readouterr().out
  digits, net = load_digits(), nets.load(str(tmp_path / 'network'))
  x = net.preprocess(digits.images[::500])
  assert (np.asarray(net(x)).argmax(-1) == np.arange(10)).mean() >= 0.9
  with pytest.raises(UserError, match='another config: epochs was 1, is 3'):
    training_command.run(brief(3), str(tmp_path))


COLOURS = {'red': (200, 30, 30), 'green': (30, 200, 30), 'blue': (30, 30, 200)}
EACH = 8


@pytest.fixture
def coloured(tmp_path):
  """Eight pictures of each colour, of several shapes; one of the red ones is damaged."""
  random = np.random.RandomState(0)
  for name, colour in COLOURS.items():
    (tmp_path / 'data' / name).mkdir(parents=True)
    for i in range(EACH):
      pixels = colour + random.randint(-30, 30, (20 + i, 30, 3))
      Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / 'data' / name / f'{i}.png')
  (tmp_path / 'data' / 'red' / '3.png').write_bytes(b'damaged')
  return tmp_path / 'data'


def of_colours(folder):
  """The flower network: the smallest that sees colours."""
  config = train_mnist.get_config()
  config.network, config.images = 'flower', f'classes:{folder}'
  config.folds, config.epochs, config.batch_size = 4, 3, 4
  return config


def test_it_learns_the_pictures_of_a_folder_and_names_what_it_cannot_read(
  coloured, tmp_path, capsys
):
  assert training_command.run(of_colours(coloured), str(tmp_path / 'run')) == 1
  (failure,) = rows_of(tmp_path / 'run' / 'failures.csv')
  assert failure['image'] == 'red_3' and 'not an image' in failure['reason']
  assert 'red/3.png: not an image' in capsys.readouterr().err

  net = nets.load(str(tmp_path / 'run' / 'network'))
  assert net.class_names == ('blue', 'green', 'red')  # As the folders are sorted.
  assert net.network.classes == 3 and net.variables['params']['fc4']['kernel'].shape == (256, 3)
  classes = rows_of(tmp_path / 'run' / 'classes.csv')
  assert [row['class'] for row in classes] == ['blue', 'green', 'red']
  assert {row['accuracy'] for row in classes} == {'1'}

  # The predictions are those of the network that was saved.
  rows, dataset = rows_of(tmp_path / 'run' / 'predictions.csv'), open_dataset(f'classes:{coloured}')
  indices = {source.name: i for i, source in enumerate(dataset.sources)}
  assert len(rows) == sum(int(row['test_images']) for row in classes) == 6
  pictures = [dataset.picture(indices[row['image']])[0].resize((112, 112), 3) for row in rows]
  x = net.preprocess(np.stack(list(map(np.asarray, pictures))))
  assert [row['predicted'] for row in rows] == [net.class_names[i] for i in net(x).argmax(-1)]

  # Another picture in the folder is no longer the training that the folder of the run holds.
  Image.new('RGB', (20, 20), COLOURS['red']).save(coloured / 'red' / '3.png')
  with pytest.raises(UserError, match='the data is not that of its results'):
    training_command.run(of_colours(coloured), str(tmp_path / 'run'))


def kill_at(monkeypatch, place, name, call):
  """Ends a run as Ctrl-C does, at a call of a function."""
  function, seen = getattr(place, name), []

  def killed(*arguments):
    seen.append(1)
    if len(seen) == call:
      raise KeyboardInterrupt
    return function(*arguments)

  monkeypatch.setattr(place, name, killed)


def test_a_killed_training_continues_to_the_same_network(coloured, tmp_path, monkeypatch, capsys):
  config = of_colours(coloured)
  config.epochs = 2
  training_command.run(config, str(tmp_path / 'whole'))
  capsys.readouterr()

  # Killed at the end of the second epoch, before its checkpoint.
  kill_at(monkeypatch, Evaluation, 'measure', 2)
  with pytest.raises(KeyboardInterrupt):
    training_command.run(config, str(tmp_path / 'killed'))
  assert not (tmp_path / 'killed' / 'network').exists()
  monkeypatch.undo()
  assert 'epoch 1:' in capsys.readouterr().out
  config.workers = 1
  training_command.run(config, str(tmp_path / 'killed'))
  continued = capsys.readouterr().out
  assert 'epoch 2:' in continued and 'epoch 1:' not in continued
  whole, again = (nets.load(str(tmp_path / name / 'network')) for name in ('whole', 'killed'))
  jax.tree.map(np.testing.assert_array_equal, again.variables, whole.variables)
  tables = ('metrics.csv', 'classes.csv', 'predictions.csv', 'failures.csv', 'inputs.json')
  for name in (*tables, 'network/network.json'):
    assert (tmp_path / 'killed' / name).read_bytes() == (tmp_path / 'whole' / name).read_bytes()


def test_no_group_is_trained_on_and_held_out(coloured, tmp_path, monkeypatch):
  """Four groups, of two pictures of each colour: one of them is the test."""
  whole = open_dataset(f'classes:{coloured}')
  grouped = dataclasses.replace(whole, groups=(3, 3, 1, 1, 4, 4, 9, 9) * 3)
  monkeypatch.setattr(train_data, 'dataset_of', lambda _: grouped)
  config = of_colours(coloured)
  config.epochs = 1
  training_command.run(config, str(tmp_path / 'run'))
  held_out = {row['image'] for row in rows_of(tmp_path / 'run' / 'predictions.csv')}
  group = {source.name: g for source, g in zip(grouped.sources, grouped.groups, strict=True)}
  (chosen,) = {group[name] for name in held_out}
  everything = {name for name in group if group[name] == chosen} - {'red_3'}
  assert held_out == everything


def test_more_pictures_than_memory_holds_are_refused(coloured, monkeypatch):
  monkeypatch.setattr(examples, 'SHARE', 1e-9)
  with pytest.raises(UserError, match='24 pictures of 112 x 112 pixels take 0.000903 GB'):
    training_command.run(of_colours(coloured), str(coloured / 'run'))


@pytest.mark.parametrize(
  ('field', 'value', 'message'),
  [
    ('images', 'digit', "images: 'digit' does not exist"),
    ('images', 'chelsea', "'chelsea' has 0 labelled classes; a training takes two or more"),
    ('split', '[:600]', "class '2' has 0 pictures that can be read, and there are 2 folds"),
    ('fit', 'aspect', 'config.fit must be one of squash, crop'),
    ('input', 'disk', 'config.input must be one of memory, stream'),
    ('occlusion', 'cutout', 'config.side: a square of 56 pixels hides all of an image of 28 x 28'),
    ('occlusion', 'cutuot', 'config.occlusion must be one of none, hide_and_seek, cutout, salient'),
    ('keep_image', 2.0, 'config.keep_image must be'),
    ('learning_rate', 0.0, 'config.learning_rate must be larger than 0'),
    ('validation_images', 'digit', "config.validation_images: 'digit' does not exist"),
    ('network', 'flowers', "network 'flowers' is not known; did you mean 'flower'"),
    ('folds', 1, 'config.folds must be at least 2'),
    ('weight_decay', 1e-4, "config.weight_decay must be 0 with 'adam', which has none here"),
    ('epochs', 0, 'config.epochs must be at least 1'),
    ('batch_size', 5000, 'config.batch_size: 5000 for 2500 pictures to train on'),
  ],
)
def test_a_config_that_cannot_be_trained_is_refused(tmp_path, field, value, message):
  config = brief()
  config[field] = value
  with pytest.raises(UserError, match=message):
    training_command.run(config, str(tmp_path))
