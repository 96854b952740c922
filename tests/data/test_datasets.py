import dataclasses
import io
import shutil

import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds

from perturb.data import datasets
from perturb.data.datasets import of_examples, open_dataset
from perturb.data.digits import load_digits
from perturb.data.loader import load_ahead
from perturb.errors import ImageError, UserError


def picture(seed, shape=(20, 30)):
  return np.random.RandomState(seed).randint(0, 256, (*shape, 3)).astype(np.uint8)


def png(array):
  file = io.BytesIO()
  Image.fromarray(array).save(file, 'png')
  file.seek(0)
  return file


class TinyPictures(tfds.core.GeneratorBasedBuilder):
  """Twelve and seven pictures of three classes; one is not a picture."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self):
    features = {
      'image': tfds.features.Image(shape=(None, None, 3)),
      'label': tfds.features.ClassLabel(names=['ant', 'bee', 'cat']),
    }
    return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

  def _split_generators(self, _):
    return {'train': self._generate_examples(12), 'validation': self._generate_examples(7)}

  def _generate_examples(self, count):
    for i in range(count):
      image = io.BytesIO(b'damaged') if (count, i) == (12, 5) else png(picture(100 * count + i))
      yield i, {'image': image, 'label': i % 3}


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """The true files of tensorflow-datasets, written without TensorFlow."""
  folder = tmp_path_factory.mktemp('tfds')
  TinyPictures(data_dir=folder, file_format='array_record').download_and_prepare()
  assert list(folder.glob('tiny_pictures/1.0.0/tiny_pictures-train.array_record-*'))
  return str(folder)


def pictures(seeds):
  return {picture(seed).tobytes() for seed in seeds}


def test_a_split_of_tensorflow_datasets(data_dir):
  dataset = open_dataset('tfds:tiny_pictures', 'train[2:5]+validation[:2]', data_dir)
  names = [source.name for source in dataset.sources]
  assert names == [
    'train_000002', 'train_000003', 'train_000004', 'validation_000000', 'validation_000001',
  ]  # fmt: skip
  assert dataset.class_names == ('ant', 'bee', 'cat')
  read = [dataset.picture(i) for i in range(5)]
  assert all(dataset.size(i) == (30, 20) for i in range(5))
  found = {np.asarray(image).tobytes(): label for image, label in read}
  with pytest.raises(UserError, match='has some records twice; give parts that do not overlap'):
    open_dataset('tfds:tiny_pictures', 'train[:3]+train[2:5]', data_dir)
  whole = open_dataset('tfds:tiny_pictures', 'train', data_dir)
  for i, (image, label) in enumerate(read[:3]):  # A slice holds what its names say.
    same, same_label = whole.picture(2 + i)
    assert (np.asarray(same) == np.asarray(image)).all() and label == same_label
  for seed in (*range(1200, 1212), *range(700, 707)):  # Records are shuffled when written.
    assert found.get(picture(seed).tobytes(), seed % 100 % 3) == seed % 100 % 3
  assert set(found) <= pictures((*range(1200, 1212), *range(700, 707)))


def test_a_damaged_record_is_named(data_dir):
  dataset = open_dataset('tfds:tiny_pictures', 'train', data_dir)
  problems = []
  for i in range(12):
    try:
      dataset.picture(i)
    except ImageError as error:
      problems.append((i, str(error)))
  ((i, problem),) = problems
  assert problem.startswith(f'tiny_pictures/1.0.0 train record {i}: not an image')


def test_damage_inside_a_file_of_records_costs_one_record(data_dir, tmp_path):
  shutil.copytree(data_dir, tmp_path / 'damaged')
  (path,) = (tmp_path / 'damaged').glob('tiny_pictures/1.0.0/*-validation.array_record-*')
  data = bytearray(path.read_bytes())
  somewhere = np.flatnonzero(np.frombuffer(data, np.uint8))[5000]
  data[somewhere] ^= 255
  path.write_bytes(data)
  dataset = open_dataset('tfds:tiny_pictures', 'validation', str(tmp_path / 'damaged'))
  problems = []
  for i in range(7):
    try:
      dataset.picture(i)
    except ImageError as error:
      problems.append(str(error))
  (problem,) = problems
  assert 'validation record' in problem and 'cannot be read (' in problem


@pytest.mark.parametrize(
  ('name', 'split', 'message'),
  [
    ('tfds:tiny_picture', 'train', "no dataset 'tiny_picture'"),
    ('tfds:tiny_pictures', 'test', "'test'"),
    ('tfds:tiny_pictures', '', 'config.split'),
    ('tfds:tiny_pictures', 'train[:100]', '100'),
    ('tfds:mnist', 'train', 'array_record'),
  ],
)
def test_what_tensorflow_datasets_lacks_is_said_in_a_line(data_dir, name, split, message):
  with pytest.raises(UserError) as caught:
    open_dataset(name, split, data_dir)
  assert message in str(caught.value) and '\n' not in str(caught.value)


def test_no_tensorflow():
  with pytest.raises(ImportError):
    __import__('tensorflow')


def test_a_folder_of_classes_counts_them_by_name(tmp_path):
  for name, count in (('n02', 2), ('n01', 1), ('n03', 0)):
    (tmp_path / name).mkdir()
    for i in range(count):
      Image.fromarray(picture(i)).save(tmp_path / name / f'{i}.png')
  for name in ('.git', '__MACOSX', '.ipynb_checkpoints'):
    (tmp_path / name).mkdir()
    Image.fromarray(picture(0)).save(tmp_path / name / '0.png')
  (tmp_path / 'n01' / 'notes.txt').write_text('no picture, and no failure')
  dataset = open_dataset(f'classes:{tmp_path}')
  assert [source.name for source in dataset.sources] == ['n01_0', 'n02_0', 'n02_1']
  assert [dataset.record(i).label for i in range(3)] == [0, 1, 1]
  assert dataset.class_names == ('n01', 'n02')  # n03 is empty.
  assert not dataset.problems
  sliced = open_dataset(f'classes:{tmp_path}', '[1:]')
  assert [source.name for source in sliced.sources] == ['n02_0', 'n02_1']
  assert np.array_equal(sliced.picture(1)[0], picture(1))
  with pytest.raises(UserError, match='has no subfolder'):
    open_dataset(f'classes:{tmp_path}/n01')
  with pytest.raises(UserError, match='does not exist'):
    open_dataset(f'classes:{tmp_path}/none')


def test_a_slice_of_files():
  assert [s.name for s in open_dataset('chelsea, coffee, rocket', '[1:2]').sources] == ['coffee']
  assert [s.name for s in open_dataset('digits', '[::1000]').sources] == [
    '0_0000', '2_1000', '4_2000', '6_3000', '8_4000',
  ]  # fmt: skip
  with pytest.raises(UserError, match='a slice such as'):
    open_dataset('chelsea', 'train')


def test_loading_ahead_keeps_order_and_raises_in_place():
  def load(i):
    if i == 5:
      raise ValueError('five')
    return i * i

  asked = []

  def items():
    for i in range(20):
      asked.append(i)
      yield i

  loaded = load_ahead(load, items(), ahead=3, workers=2)
  assert next(loaded) == 0
  assert asked == [0, 1, 2, 3]  # No more than asked for is in memory.
  assert [next(loaded) for _ in range(4)] == [1, 4, 9, 16]
  with pytest.raises(ValueError, match='five'):
    next(loaded)


def test_the_digits_are_a_dataset_unless_a_file_has_their_name(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  dataset = open_dataset('digits', '[4000:4003]')
  assert [source.name for source in dataset.sources] == ['8_4000', '8_4001', '8_4002']
  assert dataset.class_names == tuple('0123456789')
  picture, label = dataset.picture(1)
  assert label == 8 and (np.asarray(picture) == load_digits().images[4001]).all()
  (tmp_path / 'digits').mkdir()
  Image.fromarray(load_digits().images[0]).save(tmp_path / 'digits' / 'mine.png')
  assert [source.name for source in open_dataset('digits').sources] == ['mine']


def test_a_slice_takes_the_groups_along(monkeypatch):
  grouped = dataclasses.replace(of_examples(load_digits(), range(4)), groups=(1, 1, 5, 5))
  monkeypatch.setattr(datasets, 'of_examples', lambda *_: grouped)
  assert open_dataset('digits', '[1:3]').groups == (1, 5)
