"""Batches of training and of evaluation: the same bytes whoever reads them, and bad pictures."""

import dataclasses
import io
import threading

import numpy as np
from PIL import Image
import pytest

from perturb.data.datasets import of_class_folders, of_examples
from perturb.data.digits import Examples
from perturb.data.records import Record
from perturb.errors import UserError
from perturb.training.batches import TrainingBatches, evaluation_batches

COUNT, SIZE = 23, 16


def dataset_of(pictures, labels, classes=5):
  examples = Examples(pictures, np.asarray(labels), tuple(map(str, range(classes))))
  return of_examples(examples, range(len(labels)))


@pytest.fixture(scope='module')
def dataset():
  """Pictures of noise, labelled i % 5."""
  pictures = np.random.default_rng(0).integers(0, 256, (COUNT, 20, 24, 3), np.uint8)
  return dataset_of(pictures, np.arange(COUNT) % 5)


@pytest.fixture(scope='module')
def plain():
  """Item i has the value 10 i everywhere: a batch says what is in it."""
  values = 10 * np.arange(COUNT, dtype=np.uint8)
  return dataset_of(np.tile(values[:, None, None, None], (1, 20, 24, 3)), np.arange(COUNT) % 5)


def training(dataset, members=None, **changed):
  failed = []
  options = {
    'size': SIZE, 'batch_size': 6, 'seed': 1, 'crop': 'resized', 'flip': True, 'workers': 2,
    'ahead': 2, 'fail': lambda source, line: failed.append((source.name, line)),
  }  # fmt: skip
  members = np.arange(len(dataset.sources)) if members is None else members
  batches = TrainingBatches(dataset, members, **options | changed)
  return batches, failed


def taken(batches, count, step=0):
  """(images, labels) of some batches, one after the other."""
  iterator = batches.start(step)
  found = [next(iterator) for _ in range(count)]
  iterator.close()
  assert all(batch.waited >= 0 for batch in found)
  return np.stack([b.images for b in found]), np.stack([b.labels for b in found])


def items_in(images):
  """Of the pictures of `plain`."""
  assert (images == images[..., :1, :1, :1]).all()
  return images[..., 0, 0, 0] // 10


def damaged(dataset, *items):
  """As the dataset, but some of its files are no pictures."""

  def read(index):
    record = dataset.read(index)
    return Record(io.BytesIO(b'damaged'), record.label) if index in items else record

  return dataclasses.replace(dataset, read=read)


def test_any_number_of_threads_and_any_start_give_the_same_bytes(dataset):
  images, labels = taken(training(dataset, workers=1, ahead=1)[0], 8)
  assert images.shape == (8, 6, SIZE, SIZE, 3) and images.dtype == np.uint8
  assert labels.dtype == np.int32
  for step, workers, ahead in ((0, 4, 3), (1, 2, 0), (3, 3, 1), (5, 1, 2)):
    found = taken(training(dataset, workers=workers, ahead=ahead)[0], 8 - step, step)
    np.testing.assert_array_equal(found[0], images[step:])
    np.testing.assert_array_equal(found[1], labels[step:])


def test_an_epoch_has_each_item_once_and_leaves_out_others_each_time(plain):
  members = np.array([1, 2, 3, 5, 8, 13, 21, 22])
  batches, _ = training(plain, members, batch_size=4)
  assert batches.steps_per_epoch == 2
  images, labels = taken(batches, 6)
  items = items_in(images).reshape(3, 8)
  assert (np.sort(items) == members).all() and len(np.unique(items, axis=0)) == 3
  np.testing.assert_array_equal(labels.reshape(3, 8), items % 5)
  items = items_in(taken(training(plain)[0], 12)[0]).reshape(4, 18)
  assert all(len(set(epoch)) == 18 for epoch in items)
  assert len({frozenset(epoch) for epoch in items}) > 1


def test_another_seed_gives_another_order_and_other_crops(dataset, plain):
  orders = [items_in(taken(training(plain, seed=seed)[0], 3)[0]) for seed in (0, 1)]
  assert (orders[0] != orders[1]).any()
  one = np.array([3])
  crops = [taken(training(dataset, one, seed=seed, batch_size=1)[0], 2)[0] for seed in (0, 1)]
  assert (crops[0] != crops[1]).any()
  assert (crops[0][0] != crops[0][1]).any()  # Of the same item in two epochs.


def test_a_crop_depends_on_its_item_and_epoch_alone(dataset):
  batches, _ = training(dataset)
  images, _ = taken(batches, 3)
  other, _ = taken(training(dataset, batch_size=9)[0], 2)
  np.testing.assert_array_equal(images.reshape(18, SIZE, SIZE, 3), other.reshape(18, SIZE, SIZE, 3))


@pytest.mark.parametrize('processes', [2, 3])
def test_the_parts_of_the_processes_are_the_batch_of_one(dataset, processes):
  whole = taken(training(dataset, copies=2)[0], 4)
  parts = [
    taken(training(dataset, copies=2, process=process, processes=processes)[0], 4)
    for process in range(processes)
  ]
  for one, several in zip(whole, zip(*parts, strict=True), strict=True):
    np.testing.assert_array_equal(one, np.concatenate(several, axis=1))


def test_copies_have_crops_of_their_own_and_the_first_is_that_of_no_copies(dataset):
  images, labels = taken(training(dataset, copies=3)[0], 2)
  single, expected = taken(training(dataset)[0], 2)
  np.testing.assert_array_equal(images[:, ::3], single)
  np.testing.assert_array_equal(labels, expected.repeat(3, axis=1))
  assert (images[:, ::3] != images[:, 1::3]).any(axis=(2, 3, 4)).all()
  assert (images[:, 1::3] != images[:, 2::3]).any(axis=(2, 3, 4)).all()


@pytest.mark.parametrize('crop', ['centre', 'squash'])
def test_without_crops_the_half_is_mirrored(dataset, crop):
  images, _ = taken(training(dataset, crop=crop, copies=40)[0], 1)
  mirrored = 0
  for copies in images[0].reshape(6, 40, SIZE, SIZE, 3):
    same = (copies == copies[0]).all(axis=(1, 2, 3))
    assert (copies[~same] == copies[0, :, ::-1]).all()
    mirrored += min(same.sum(), 40 - same.sum())
  assert 70 <= mirrored <= 120
  images, _ = taken(training(dataset, crop=crop, flip=False)[0], 1)
  order = training(dataset)[0].order(0)[:6]
  evaluated = evaluated_of(dataset, members=order, batch_size=6, fit=crop)
  np.testing.assert_array_equal(images[0], evaluated[0].images)


def test_an_unreadable_picture_is_named_once_and_replaced_by_the_next(plain):
  order = training(plain)[0].order(0)
  bad = damaged(plain, order[2], order[3])
  for workers in (1, 3):
    batches, failed = training(bad, workers=workers)
    images, _ = taken(batches, 9)
    assert {name for name, _ in failed} == {plain.sources[i].name for i in order[2:4]}
    assert len(failed) == 2 and all('not an image' in line for _, line in failed)
    np.testing.assert_array_equal(items_in(images)[0], order[[0, 1, 4, 4, 4, 5]])
  np.testing.assert_array_equal(taken(batches, 2, step=4)[0], images[4:6])
  assert len(failed) == 2


def test_a_replacement_does_not_depend_on_what_was_read_before(dataset):
  bad = damaged(dataset, 4, 9, 10, 17)
  images, _ = taken(training(bad)[0], 9)
  np.testing.assert_array_equal(taken(training(bad)[0], 2, step=7)[0], images[7:])


def test_nothing_that_can_be_read(plain):
  batches, failed = training(damaged(plain, *range(COUNT)))
  with pytest.raises(UserError, match='none of the 23 pictures to train on can be read'):
    next(batches.start(0))
  assert len({name for name, _ in failed}) == len(failed)


@pytest.mark.parametrize(
  ('label', 'message'),
  [(5, 'its label is 5, and there are 5 classes'), (-1, 'its label is -1'), (None, 'has no label')],
)
def test_a_label_that_is_none_of_the_classes_is_named(plain, label, message):
  def read(index):
    record = plain.read(index)
    return Record(record.file, label) if index == 7 else record

  wrong = dataclasses.replace(plain, read=read)
  with pytest.raises(UserError, match=f'^{plain.sources[7].name}: {message}'):
    taken(training(wrong)[0], 8)
  with pytest.raises(UserError, match=message):
    evaluated_of(wrong)


def test_wrong_numbers_are_refused_with_their_field(plain):
  for changed, message in (
    ({'batch_size': 24}, 'config.batch_size: 24 is more than the 23 pictures to train on'),
    ({'processes': 4}, 'config.batch_size: 6 cannot be divided among 4 processes; 8 can'),
    ({'batch_size': 0}, 'config.batch_size: 0'),
    ({'crop': 'random'}, "config.crop must be one of resized, centre, squash, not 'random'"),
  ):
    with pytest.raises(UserError, match=message):
      training(plain, **changed)
  for changed, message in (
    ({'fit': 'crop'}, "config.fit must be one of centre, squash, not 'crop'"),
    ({'processes': 3}, 'config.batch_size: 10 cannot be divided among 3 processes; 9 can'),
  ):
    with pytest.raises(UserError, match=message):
      evaluated(plain, **changed)


def test_threads_end_and_pictures_ahead_are_bounded(plain):
  read, before = [], threading.active_count()
  counted = dataclasses.replace(plain, read=lambda i: read.append(i) or plain.read(i))
  batches, _ = training(counted, ahead=2)
  iterator = batches.start(0)
  next(iterator)
  iterator.close()
  assert threading.active_count() == before
  assert 6 <= len(read) <= 3 * 6


def test_an_error_of_the_consumer_ends_the_threads(plain):
  def fail(*_):
    raise RuntimeError('the disk is full')

  before = threading.active_count()
  batches, _ = training(damaged(plain, *range(5)), fail=fail)
  with pytest.raises(RuntimeError, match='the disk is full'):
    taken(batches, 4)
  assert threading.active_count() == before


def evaluated(dataset, members=None, **changed):
  options = {
    'size': SIZE, 'batch_size': 10, 'fit': 'squash', 'workers': 2, 'ahead': 1,
    'fail': lambda *_: None,
  }  # fmt: skip
  members = np.arange(len(dataset.sources)) if members is None else members
  return evaluation_batches(dataset, members, **options | changed)


def evaluated_of(dataset, **changed):
  return list(evaluated(dataset, **changed))


def test_evaluation_takes_each_item_once_in_order_and_fills_up_the_last_batch(plain):
  failed = []
  found = evaluated_of(damaged(plain, 4), fail=lambda *pair: failed.append(pair))
  assert [batch.images.shape for batch in found] == 3 * [(10, SIZE, SIZE, 3)]
  images, labels, valid, indices = map(np.concatenate, zip(*found, strict=True))
  np.testing.assert_array_equal(indices, [*range(23), *7 * [-1]])
  np.testing.assert_array_equal(valid, (indices >= 0) & (indices != 4))
  np.testing.assert_array_equal(items_in(images[valid]), indices[valid])
  np.testing.assert_array_equal(labels[valid], indices[valid] % 5)
  ((source, line),) = failed
  assert source == plain.sources[4] and 'not an image' in line and not images[~valid].any()


def test_evaluation_of_several_processes_is_that_of_one(plain):
  whole = evaluated_of(plain)
  parts = [evaluated_of(plain, process=process, processes=2) for process in range(2)]
  for batch, *halves in zip(whole, *parts, strict=True):
    for one, several in zip(batch, zip(*halves, strict=True), strict=True):
      np.testing.assert_array_equal(one, np.concatenate(several))


def test_folders_of_classes_with_pictures_of_many_kinds(tmp_path):
  picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
  for label in ('a', 'b'):
    (tmp_path / label).mkdir()
    for mode, name in (
      ('L', 'grey.jpg'),
      ('CMYK', 'ink.jpg'),
      ('P', 'few.png'),
      ('RGB', 'all.jpg'),
    ):
      picture.convert(mode).save(tmp_path / label / name)
  (tmp_path / 'b' / 'empty.jpg').touch()
  batches, failed = training(of_class_folders(str(tmp_path), 'config.images'), batch_size=9)
  images, labels = taken(batches, 1)
  assert images.shape == (1, 9, SIZE, SIZE, 3) and set(labels.ravel()) == {0, 1}
  assert [(name, 'the file is empty' in line) for name, line in failed] == [('b_empty', True)]
