"""A training whose pictures are read when their step comes; its checkpoints; what ends it."""

import csv
import dataclasses
import shutil

import jax
import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds

from configs import train_mnist
from perturb import nets
from perturb.data.datasets import open_dataset
from perturb.data.records import Record
from perturb.errors import UserError
from perturb.store.tensorboard import Metrics
from perturb.tasks import train, train_data
from perturb.tasks.train_loop import best_epoch
from tests.tasks.test_train import kill_at

SHADES = {'dark': 40, 'light': 215}
EACH = 8


def write(folder, number):
  """Pictures of each shade, of several shapes."""
  random = np.random.RandomState(number)
  for name, shade in SHADES.items():
    (folder / name).mkdir(parents=True)
    for i in range(EACH):
      pixels = shade + random.randint(-30, 30, (30 + i, 40, 3))
      Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f'{number}{i}.png')


@pytest.fixture(scope='module')
def shades(tmp_path_factory):
  folder = tmp_path_factory.mktemp('shades')
  for number, part in enumerate(('known', 'unseen')):
    write(folder / part, number)
  return folder


def streamed(shades, **fields):
  """Five epochs of four steps of the digits' network, the smallest there is."""
  config = train_mnist.get_config()
  config.images = f'classes:{shades / "known"}'
  config.validation_images = f'classes:{shades / "unseen"}'
  config.input, config.fit, config.flip = 'stream', 'centre', True
  config.epochs, config.batch_size, config.log_steps = 5, 4, 2
  config.occlusion, config.side, config.joint = 'cutout', 8, True
  config.average = 0.5
  config.update(fields)
  return config


def rows_of(path):
  return list(csv.DictReader(path.open()))


def steps_of(run):
  return sorted(int(path.name) for path in (run / 'checkpoints').iterdir())


@pytest.fixture(scope='module')
def whole(shades, tmp_path_factory):
  """A run from its beginning to its end, and what it wrote for TensorBoard."""
  folder, written = tmp_path_factory.mktemp('whole'), []
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(Metrics, 'write', lambda _, step, **values: written.append((step, values)))
    assert train.run(streamed(shades), str(folder)) == 0
  return folder, written


def test_it_learns_a_folder_and_says_how(whole):
  folder, written = whole
  rows = rows_of(folder / 'metrics.csv')
  assert [int(row['step']) for row in rows] == [4, 8, 12, 16, 20]
  assert float(rows[-1]['test_loss']) < float(rows[0]['test_loss']) / 2
  assert {float(row['test_top5']) for row in rows} == {1}  # Of two classes.
  steps = [step for step, values in written if 'loss' in values]
  assert steps == [*range(2, 21, 2)]
  last = written[-2][1]
  assert last['images_per_second'] > 0 and 0 <= last['share_waiting'] <= 1
  np.testing.assert_allclose(last['learning_rate'], float(rows[-1]['learning_rate']), rtol=1e-5)
  assert len(rows_of(folder / 'predictions.csv')) == 2 * EACH


def test_the_last_and_the_best_stay(whole):
  """Both as checkpoints and as networks; the best is the first of equals."""
  folder, _ = whole
  accuracy = [float(row['test_accuracy']) for row in rows_of(folder / 'metrics.csv')]
  best = accuracy.index(max(accuracy)) + 1
  assert steps_of(folder) == sorted({4 * best, 20})
  unseen = {row['image']: row for row in rows_of(folder / 'predictions.csv')}
  right = np.mean([row['class'] == row['predicted'] for row in unseen.values()])
  assert right == accuracy[-1]
  for name in ('network', 'best'):
    assert nets.load(str(folder / name)).class_names == ('dark', 'light')


def test_the_first_of_the_best_epochs_counts():
  history = np.full((4, 5), np.nan)
  assert best_epoch(history) == 0
  history[:3, 3] = 0.5, 0.75, 0.75
  assert best_epoch(history) == 2


def same(one, other):
  for name in ('network', 'best'):
    first, second = (nets.load(str(folder / name)).variables for folder in (one, other))
    jax.tree.map(np.testing.assert_array_equal, first, second)
  for name in ('metrics.csv', 'classes.csv', 'predictions.csv', 'inputs.json'):
    assert (one / name).read_bytes() == (other / name).read_bytes()


def test_a_run_killed_within_an_epoch_goes_on_to_the_same_bits(
  shades, whole, tmp_path, monkeypatch
):
  """Twice: the checkpoints of some steps are gone on from, with other threads and intervals."""
  kill_at(monkeypatch, train_data.TrainingBatches, '_report', 28)  # Of 4 pictures a step.
  with pytest.raises(KeyboardInterrupt):
    train.run(streamed(shades, checkpoint_steps=3), str(tmp_path))
  monkeypatch.undo()
  assert steps_of(tmp_path)[-1] == 6
  kill_at(monkeypatch, train_data.TrainingBatches, '_report', 8)
  with pytest.raises(KeyboardInterrupt):
    train.run(streamed(shades, checkpoint_steps=1, workers=1, ahead=1), str(tmp_path))
  monkeypatch.undo()
  assert steps_of(tmp_path)[-1] == 7
  train.run(streamed(shades, log_steps=1), str(tmp_path))
  same(tmp_path, whole[0])


def test_a_damaged_checkpoint_is_named_and_the_one_before_serves(shades, whole, tmp_path):
  shutil.copytree(whole[0], tmp_path / 'run')
  last = tmp_path / 'run' / 'checkpoints' / '20'
  for path in last.rglob('*'):
    if path.is_file() and path.stat().st_size > 1000:
      path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  with pytest.raises(UserError, match='checkpoints/20: a damaged checkpoint; remove it'):
    train.run(streamed(shades), str(tmp_path / 'run'))
  shutil.rmtree(last)
  train.run(streamed(shades), str(tmp_path / 'run'))
  same(tmp_path / 'run', whole[0])


def test_a_checkpoint_of_another_network_is_refused(shades, whole, tmp_path):
  shutil.copytree(whole[0] / 'checkpoints', tmp_path / 'checkpoints')
  with pytest.raises(UserError, match=r'checkpoint of another network: state\..* is .* there'):
    train.run(streamed(shades, network='flower'), str(tmp_path))


def test_a_loss_that_is_no_number_ends_it_in_a_line(shades, tmp_path):
  """The rate is multiplied by 1e30 after the first epoch, which leaves a checkpoint."""
  diverging = streamed(
    shades, optimiser='sgd', schedule='steps', falls=(1,), factor=1e30, average=0.0
  )
  with pytest.raises(UserError) as raised:
    train.run(diverging, str(tmp_path))
  line = str(raised.value)
  assert line.startswith(('step 5: the weights', 'step 6: the loss is', 'step 7: the loss is'))
  assert f'the last good checkpoint is {tmp_path}/checkpoints/4, of step 4' in line
  assert steps_of(tmp_path) == [4] and '\n' not in line


def test_an_unreadable_picture_is_named_and_the_rest_goes_on(shades, tmp_path):
  shutil.copytree(shades, tmp_path / 'data')
  for path in ('known/dark/00.png', 'unseen/light/13.png'):
    (tmp_path / 'data' / path).write_bytes(b'damaged')
  assert train.run(streamed(tmp_path / 'data', epochs=2), str(tmp_path / 'run')) == 2
  rows = rows_of(tmp_path / 'run' / 'failures.csv')
  assert {row['image'] for row in rows} == {'dark_00', 'light_13'}
  assert len(rows_of(tmp_path / 'run' / 'predictions.csv')) == 2 * EACH - 1


def test_other_classes_held_out_are_refused(shades, tmp_path):
  shutil.copytree(shades / 'unseen', tmp_path / 'unseen')
  (tmp_path / 'unseen' / 'dark').rename(tmp_path / 'unseen' / 'grey')
  config = streamed(shades, validation_images=f'classes:{tmp_path / "unseen"}')
  with pytest.raises(UserError, match="validation_images: has no class 'dark', which config.image"):
    train.run(config, str(tmp_path / 'run'))


@pytest.mark.parametrize('where', ['memory', 'stream'])
@pytest.mark.parametrize(
  ('label', 'message'),
  [(lambda _: 2, 'its label is 2, and there are 2 classes'), (lambda _: 0, "'light' has 0")],
)
def test_labels_that_do_not_fit_are_refused(shades, tmp_path, monkeypatch, where, label, message):
  known = open_dataset(f'classes:{shades / "known"}')
  relabelled = dataclasses.replace(
    known, read=lambda i: Record(known.record(i).file, label(known.record(i).label))
  )
  monkeypatch.setattr(train_data, 'dataset_of', lambda _: relabelled)
  with pytest.raises(UserError, match=message):
    train.run(streamed(shades, input=where, fit='squash'), str(tmp_path))


def test_a_batch_that_the_devices_do_not_divide_is_refused(shades, tmp_path, monkeypatch):
  monkeypatch.setattr(jax, 'device_count', lambda: 3)
  with pytest.raises(UserError, match='batch_size: 4 images .* 3 devices; take 3 or 6'):
    train.run(streamed(shades), str(tmp_path))


class ShadedPictures(tfds.core.GeneratorBasedBuilder):
  """The pictures of the folders, as array_record."""

  VERSION = tfds.core.Version('1.0.0')
  folder = None

  def _info(self):
    features = {
      'image': tfds.features.Image(shape=(None, None, 3)),
      'label': tfds.features.ClassLabel(names=list(SHADES)),
    }
    return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

  def _split_generators(self, _):
    return {'train': self._examples('known'), 'validation': self._examples('unseen')}

  def _examples(self, part):
    for path in sorted((self.folder / part).rglob('*.png')):
      yield f'{path.parent.name}{path.name}', {'image': str(path), 'label': path.parent.name}

  _generate_examples = _examples


def test_a_dataset_of_tfds_with_its_validation(shades, tmp_path, monkeypatch):
  monkeypatch.setattr(ShadedPictures, 'folder', shades)
  ShadedPictures(data_dir=tmp_path / 'data', file_format='array_record').download_and_prepare()
  config = streamed(
    shades, images='tfds:shaded_pictures', split='train', validation_images='',
    validation_split='validation', data_dir=str(tmp_path / 'data'), epochs=1,
  )  # fmt: skip
  assert train.run(config, str(tmp_path / 'run')) == 0
  names = [row['image'] for row in rows_of(tmp_path / 'run' / 'predictions.csv')]
  assert names == [f'validation_{i:06d}' for i in range(2 * EACH)]
