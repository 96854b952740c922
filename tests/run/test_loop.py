"""The loop over a dataset, with an experiment that costs nothing."""

import csv
import dataclasses
import struct

import jax
import ml_collections
import numpy as np
from PIL import Image
import pytest
from tensorboardX.proto.event_pb2 import Event

from configs import extremal
from perturb.data.datasets import open_dataset
from perturb.errors import UserError
from perturb.run.experiment import Experiment, Step
from perturb.run.loop import Run
from perturb.run.subjects import label_targets
from perturb.store.arrays import DONE, FAILED, Field
from perturb.store.explanations import Explanations
from perturb.store.manifest import Manifest
from perturb.store.results import results_group, timings_group
from perturb.tasks import extremal as extremal_run
from tests.data.test_datasets import picture
from tests.small_net import small_net


def config(**changes):
  fields = {'fit': 'crop', 'multiple': 16, 'batch': 2, 'workers': 2}
  return ml_collections.ConfigDict(fields | changes)


def experiment(wrong):
  """The mean of each image."""
  return Experiment(
    small_net(),
    (
      Step(
        lambda _, share: {'mean': share['x'].mean((1, 2, 3)), 'target': share['target']},
        lambda _: {'mean': Field(), 'target': Field('int32')},
        wrong,
      ),
    ),
    lambda label: 10 + label,
    lambda *_: {'made': 'here'},
    {'area': ('area', np.array([0.1], np.float32))},
  )


def changed(made, **changes):
  """An experiment of one step, with another one."""
  (step,) = made.steps
  return dataclasses.replace(made, steps=(dataclasses.replace(step, **changes),))


def go(folder, images, wrong=lambda *_: '', **changes):
  return Run(experiment(wrong), open_dataset(images), config(**changes), folder)()


def statuses(outcome, step=''):
  return list(outcome.status[step].values())


@pytest.fixture
def pictures(tmp_path):
  """Seven pictures of 32 x 32 in two classes, in `tmp_path / 'data'`."""
  for i in range(7):
    path = tmp_path / 'data' / f'class{i // 4}' / f'{i}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(i, (32, 32))).save(path)
  return tmp_path / 'data'


def means(folder, group='32x32'):
  return results_group(folder, group).read('mean')


def test_a_ragged_run_stores_each_image_once_in_order(pictures, tmp_path):
  out = tmp_path / 'out'
  outcome = go(out, f'classes:{pictures}')
  assert outcome.done() == [f'class{i // 4}_{i}' for i in range(7)]
  assert statuses(outcome) == [DONE] * 7 and outcome.failed == 0 and outcome.computed == 7
  expected = [picture(i, (32, 32)).mean() / 255 for i in range(7)]
  np.testing.assert_allclose(means(out), expected, rtol=1e-5)
  group = results_group(out, '32x32')
  assert group.read('label').tolist() == [0, 0, 0, 0, 1, 1, 1]
  assert group.read('target').tolist() == [10] * 4 + [11] * 3
  assert (timings_group(out, '32x32').read('seconds') > 0).all()
  again = go(out, f'classes:{pictures}')
  assert again.computed == 0 and again.compile_seconds == 0
  assert list((out / 'metrics').glob('events.out.tfevents.*'))


def test_shapes_are_grouped_and_compiled_once_each(tmp_path):
  shapes = [(40, 60), (60, 40), (40, 62), (40, 40), (40, 61), (20, 33)]
  for i, shape in enumerate(shapes):
    Image.fromarray(picture(i, shape)).save(tmp_path / f'{i}.png')
  outcome = go(tmp_path / 'out', f'{tmp_path}/*.png', fit='aspect')
  groups = {name: entry.group for name, entry in outcome.manifest.entries.items()}
  assert groups == {
    '0': '32x48', '1': '48x32', '2': '32x48', '3': '32x32', '4': '32x48', '5': '32x48',
  }  # fmt: skip
  assert statuses(outcome) == [DONE] * 6
  assert means(tmp_path / 'out', '32x48').shape == (4,)


def test_failures_are_named_and_tried_again(pictures, tmp_path):
  out = tmp_path / 'out'
  good = (pictures / 'class0' / '2.png').read_bytes()
  (pictures / 'class0' / '2.png').write_bytes(b'damaged')
  (pictures / 'class1' / '5.png').write_bytes(b'')
  images = f'classes:{pictures}'
  bright = np.float32(picture(3, (32, 32)).mean() / 255)
  one = lambda results, i: 'NaN' if abs(results['mean'][i] - bright) < 1e-6 else ''  # noqa: E731
  outcome = go(out, images, wrong=one)
  assert outcome.failed == 3 and outcome.computed == 4
  assert statuses(outcome) == [DONE, DONE, FAILED, FAILED, DONE, FAILED, DONE]
  with open(out / 'failures.csv', newline='') as file:
    reasons = {row['image']: row['reason'] for row in csv.DictReader(file)}
  assert reasons['class0_3'] == f'{pictures}/class0/3.png: NaN'
  assert 'not an image' in reasons['class0_2'] and 'empty' in reasons['class1_5']
  assert np.isnan(means(out)[[2, 3, 5]]).all()
  (pictures / 'class0' / '2.png').write_bytes(good)
  outcome = go(out, images)
  assert outcome.failed == 1 and outcome.computed == 2
  with open(out / 'failures.csv', newline='') as file:
    assert [row['image'] for row in csv.DictReader(file)] == ['class1_5']


def test_images_can_be_added_but_not_replaced(pictures, tmp_path):
  out = tmp_path / 'out'
  assert go(out, f'{pictures}/class0').computed == 4
  before = means(out)
  outcome = go(out, f'{pictures}/class0, {pictures}/class1')
  assert outcome.computed == 3 and statuses(outcome) == [DONE] * 7
  np.testing.assert_array_equal(means(out)[:4], before)
  assert list(Manifest(out / 'images.csv').entries) == [str(i) for i in range(7)]
  assert list(go(out, f'{pictures}/class1').status['']) == ['4', '5', '6']
  moved = tmp_path / 'moved'
  moved.mkdir()
  (pictures / 'class0' / '1.png').rename(moved / '1.png')
  assert go(out, f'{moved}').computed == 0  # The same picture elsewhere.
  Image.fromarray(picture(9, (32, 32))).save(moved / '1.png')
  with pytest.raises(UserError, match=r"moved/1.png: the workdir holds another picture named '1'"):
    go(out, f'{moved}')


def test_results_are_readable_while_the_run_goes_on(pictures, tmp_path):
  out = tmp_path / 'out'
  seen = []

  def look(*_):
    seen.append(int((results_group(out, '32x32').read('status') == DONE).sum()))
    return ''

  go(out, f'classes:{pictures}', wrong=look)
  assert seen == [0, 0, 2, 2, 4, 4, 6]


def test_metrics_are_what_tensorboard_reads(pictures, tmp_path):
  go(tmp_path / 'out', f'classes:{pictures}')
  (path,) = (tmp_path / 'out' / 'metrics').iterdir()
  data, events = path.read_bytes(), []
  while data:  # Length, its checksum, an event, its checksum.
    (length,) = struct.unpack('<Q', data[:8])
    events.append(Event.FromString(data[12 : 12 + length]))
    data = data[16 + length :]
  assert events[0].file_version == 'brain.Event:2'
  values = {(e.step, v.tag): v.simple_value for e in events for v in e.summary.value}
  assert {step for step, _ in values} >= {2, 4, 6, 7}
  for tag in ('images_per_second', 'compile_seconds', 'peak_memory_bytes'):
    assert values[7, tag] > 0
  assert values[7, 'failed'] == 0


def test_labels_become_classes_of_the_network(pictures):
  dataset = open_dataset(f'classes:{pictures}')
  with pytest.raises(UserError, match="2 classes, the network 5, .* by name, and .*'class0'"):
    label_targets(small_net(), dataset)
  for old, new in (('class0', 'eel'), ('class1', 'bee')):
    (pictures / old).rename(pictures / new)
  targets = label_targets(small_net(), open_dataset(f'classes:{pictures}'))
  assert [targets(label) for label in (0, 1)] == [1, 4]
  for name in ('ant', 'cat', 'dog'):
    (pictures / name).mkdir()
  targets = label_targets(small_net(), open_dataset(f'classes:{pictures}'))
  assert [targets(label) for label in range(5)] == [0, 1, 2, 3, 4]
  with pytest.raises(UserError, match='has no label'):
    targets(-1)
  with pytest.raises(UserError, match='have no labels'):
    label_targets(small_net(), open_dataset('chelsea'))


def test_an_image_without_a_label_fails_alone(pictures, tmp_path):
  dataset = open_dataset(f'classes:{pictures}')
  read = dataset.read
  some = dataclasses.replace(
    dataset, read=lambda i: read(i) if i != 2 else read(i)._replace(label=-1)
  )
  for name in ('class2', 'class3', 'class4'):  # As many as the network has.
    (pictures / name).mkdir()
  targets = label_targets(small_net(), open_dataset(f'classes:{pictures}'))
  made = dataclasses.replace(experiment(lambda *_: ''), targets=targets)
  outcome = Run(made, some, config(), tmp_path / 'out')()
  assert outcome.failed == 1 and statuses(outcome).count(DONE) == 6
  assert 'class0/2.png: it has no label' in (tmp_path / 'out' / 'failures.csv').read_text()


def test_a_device_that_gives_up_is_told_in_a_line(pictures, tmp_path):
  def full(_):
    raise MemoryError('no room')

  def explain(_, share):
    shape = jax.ShapeDtypeStruct((2,), np.float32)
    return {'mean': jax.pure_callback(full, shape, share['x']), 'target': share['target']}

  made = changed(experiment(lambda *_: ''), explain=explain)
  with pytest.raises(UserError, match=r'the device gave up \(.*smaller config.batch'):
    Run(made, open_dataset(f'classes:{pictures}'), config(), tmp_path / 'out')()


def test_an_image_whose_scores_are_not_numbers_fails_alone(pictures, tmp_path):
  """The real experiment, on an input that becomes NaN on its way to the network."""
  asked = extremal.get_config()
  asked.areas, asked.settings.iterations, asked.batch, asked.fit = (0.2,), 2, 7, 'crop'
  made = extremal_run.experiment_of(small_net(), asked, lambda _: 1)

  def explain(net, share):
    broken = share['x'].at[3].set(np.nan)
    return made.steps[0].explain(net, {**share, 'x': broken})

  spoiled = changed(made, explain=explain)
  outcome = Run(spoiled, open_dataset(f'classes:{pictures}'), asked, tmp_path / 'out')()
  assert outcome.failed == 1 and statuses(outcome) == [1, 1, 1, FAILED, 1, 1, 1]
  with open(tmp_path / 'out' / 'failures.csv', newline='') as file:
    (row,) = csv.DictReader(file)
  assert row['image'] == 'class0_3' and 'a score that is not a number' in row['reason']
  found = Explanations(tmp_path / 'out')
  assert all(np.isfinite(found[name].scores).all() for name in found.names) and len(found) == 6
