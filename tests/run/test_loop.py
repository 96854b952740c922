"""The loop over a dataset, with an experiment that costs nothing."""

import csv
import dataclasses
import pathlib
import re
import struct

import jax
import ml_collections
import numpy as np
from PIL import Image
import pytest
from tensorboardX.proto.event_pb2 import Event

from configs import extremal
from perturb.data.datasets import Dataset, open_dataset
from perturb.errors import UserError
from perturb.nets import Pretrained
from perturb.nets.zoo import imagenet_class_names
from perturb.run.experiment import Experiment, Step, Targets
from perturb.run.labels import classes_of, label_targets
from perturb.run.loop import Run
from perturb.store.arrays import DONE, FAILED, Field
from perturb.store.explanations import Explanations
from perturb.store.manifest import Manifest
from perturb.store.results import Results, results_group, timings_group
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
    Targets(lambda label: 10 + label),
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


def test_what_is_too_much_for_the_memory_fails_alone(pictures, tmp_path, monkeypatch):
  """A picture whose pixels do not fit; and a strip, which only `aspect` cannot take."""
  Image.new('RGB', (17, 100_000)).save(pictures / 'class0' / '2.png')
  images = f'classes:{pictures}'
  for name in ('crop', 'aspect', 'little'):
    (tmp_path / name).mkdir()
  assert go(tmp_path / 'crop', images).failed == 0
  outcome = go(tmp_path / 'aspect', images, fit='aspect')
  assert outcome.failed == 1 and outcome.computed == 6
  assert '17 x 100000 pixels is too long' in (tmp_path / 'aspect' / 'failures.csv').read_text()
  preprocess = Pretrained.preprocess

  def little(net, image):
    if not image.any():
      raise MemoryError
    return preprocess(net, image)

  monkeypatch.setattr(Pretrained, 'preprocess', little)
  outcome = go(tmp_path / 'little', images)
  assert outcome.failed == 1 and outcome.computed == 6
  said = (tmp_path / 'little' / 'failures.csv').read_text()
  assert 'class0/2.png: there is not enough memory for it' in said


def test_a_step_is_given_what_is_known_of_its_images(pictures, tmp_path):
  """By name, whatever their order; an image that failed before leaves the others theirs."""
  (pictures / 'class0' / '2.png').write_bytes(b'damaged')
  names = [f'class{i // 4}_{i}' for i in range(7)]
  shares = {name: np.float32([i, 10 * i]) for i, name in enumerate(names)}
  plain = experiment(lambda *_: '')
  step = Step(
    lambda _, share: {'sum': share['weights'].sum(1) + share['mean']},
    lambda _: {'sum': Field()},
    name='weighted',
    needs=('weights', 'mean'),
  )
  made = dataclasses.replace(plain, steps=(*plain.steps, step), given={'weights': shares})
  outcome = Run(made, open_dataset(f'classes:{pictures}'), config(), tmp_path / 'out')()
  assert outcome.failed == 1
  found = results_group(tmp_path / 'out', '32x32').read('weighted/sum')
  expected = 11 * np.arange(7) + means(tmp_path / 'out')
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  assert np.isnan(found).tolist() == [i == 2 for i in range(7)]


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


def several(calls, refuse='', wrong=lambda *_: ''):
  """The mean of each image; twice that, on the host; and, of both, their sum."""

  def double(_, share):
    calls.append(len(share['x']))
    return {'value': 2 * share['mean']}

  def total(_, share):
    if refuse:
      raise UserError(refuse)
    return {'value': share['mean'] + share['double/value']}

  made = experiment(lambda *_: '')
  one = lambda _: {'value': Field()}  # noqa: E731
  more = (
    Step(double, one, wrong, name='double', needs=('mean',), compiled=False),
    Step(total, one, name='total', needs=('mean', 'double/value')),
  )
  return dataclasses.replace(made, steps=(*made.steps, *more))


def test_steps_are_given_what_earlier_ones_have_found_now_or_in_an_earlier_start(
  pictures, tmp_path
):
  calls, data = [], open_dataset(f'classes:{pictures}')
  bright = np.float32(picture(3, (32, 32)).mean() / 255)
  one = lambda values, i: 'odd' if abs(values['value'][i] - 2 * bright) < 1e-6 else ''  # noqa: E731
  outcome = Run(several(calls, 'not here', one), data, config(), tmp_path)()
  assert statuses(outcome) == [DONE] * 7
  assert statuses(outcome, 'double') == [DONE, DONE, DONE, FAILED, DONE, DONE, DONE]
  assert statuses(outcome, 'total') == [FAILED] * 3 + [0] + [FAILED] * 3
  assert outcome.failed == 7 and outcome.done() == list(outcome.status[''])
  assert set(calls) == {1} and len(calls) == 8  # The first one twice, to time it.
  with open(tmp_path / 'failures.csv', newline='') as file:
    found = [(row['image'], row['method'], row['reason']) for row in csv.DictReader(file)]
  assert ('class0_3', 'double', f'{pictures}/class0/3.png: odd') in found
  assert ('class0_0', 'total', f'{pictures}/class0/0.png: not here') in found

  calls.clear()
  outcome = Run(several(calls), data, config(), tmp_path)()
  assert outcome.failed == 0 and outcome.computed == 8 and len(calls) == 2
  group = results_group(tmp_path, '32x32')
  np.testing.assert_array_equal(group.read('double/value'), 2 * group.read('mean'))
  np.testing.assert_allclose(group.read('total/value'), 3 * group.read('mean'), rtol=1e-6)
  assert (timings_group(tmp_path, '32x32').read('total/seconds') > 0).all()


def test_a_picture_that_has_changed_is_not_mixed_with_what_was_found_of_it(pictures, tmp_path):
  data, out = open_dataset(f'classes:{pictures}'), tmp_path / 'out'
  Run(several([], 'not yet'), data, config(), out)()
  Image.fromarray(picture(9, (32, 32))).save(pictures / 'class0' / '1.png')
  outcome = Run(several([]), data, config(), out)()
  assert statuses(outcome, 'total') == [DONE, FAILED] + [DONE] * 5
  assert 'class0/1.png: has changed since it was explained' in (out / 'failures.csv').read_text()


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


def test_labels_become_classes_of_the_network_by_name(pictures, tmp_path, capsys):
  with pytest.raises(UserError, match="go by name, and target 'class0' .*config.labels=rank"):
    label_targets(small_net(), open_dataset(f'classes:{pictures}'))
  for old, new in (('class0', 'eel'), ('class1', 'Bee')):
    (pictures / old).rename(pictures / new)
  dataset = open_dataset(f'classes:{pictures}')
  assert dataset.class_names == ('Bee', 'eel')
  targets = label_targets(small_net(), dataset)
  assert [targets.of(label) for label in (0, 1)] == [1, 4]
  assert 'labels by names: Bee is 1 (bee), eel is 4 (eel)' in capsys.readouterr().out
  made = dataclasses.replace(experiment(lambda *_: ''), targets=targets)
  assert Run(made, dataset, config(), tmp_path / 'out')().failed == 0
  assert (
    tmp_path / 'out' / 'labels.csv'
  ).read_text() == 'label,target,class\nBee,1,bee\neel,4,eel\n'
  assert results_group(tmp_path / 'out', '32x32').read('target').tolist() == [1] * 3 + [4] * 4
  with pytest.raises(UserError, match='has no label'):
    targets.of(-1)
  with pytest.raises(UserError, match='have no labels'):
    label_targets(small_net(), open_dataset('chelsea'))


def test_labels_go_by_rank_only_if_asked_whatever_their_number():
  """As many labels as classes are no reason: 'eight' is the first of the digits by name."""
  digits = sorted(['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'])
  net = dataclasses.replace(small_net(), class_names=tuple(map(str, range(10))))
  with pytest.raises(UserError, match="'eight' is not a class of this network"):
    classes_of(net, digits)
  assert classes_of(net, digits, 'rank') == list(range(10))
  assert classes_of(net, ['7', '3']) == [7, 3]
  net = dataclasses.replace(small_net(), class_names=('cat, tabby', 'tabby', 'crane', 'crane', 'x'))
  assert classes_of(net, ['Tabby', 'cat']) == [1, 0]  # The whole name before a synonym.
  assert classes_of(net, ['0', '4']) == [0, 4]
  with pytest.raises(UserError, match='several classes, 2, 3; give the index'):
    classes_of(net, ['crane'])
  with pytest.raises(UserError, match='6 labels for 5 classes'):
    classes_of(net, ['a'] * 6, 'rank')


def test_any_part_of_imagenet_goes_by_wnid(capsys):
  net = dataclasses.replace(small_net(), class_names=imagenet_class_names())
  assert classes_of(net, ['n02124075', 'n01440764', 'n02979186']) == [285, 0, 482]
  assert net.class_name(482) == 'cassette player'
  dataset = Dataset([], lambda _: None, ('n02124075', 'n01440764'))
  label_targets(net, dataset)
  assert capsys.readouterr().out.startswith('labels by wnids: n02124075 is 285 (Egyptian cat)')
  with pytest.raises(UserError, match='n99999999 is not among'):
    classes_of(net, ['n01440764', 'n99999999'])
  assert classes_of(net, ['Egyptian_cat', 'cassette player']) == [285, 482]


def test_labels_that_begin_like_formulas_are_the_same_in_the_next_start(pictures, tmp_path):
  for old, new in (('class0', '=1+1'), ('class1', '@x\n')):
    (pictures / old).rename(pictures / new)
  for computed in (7, 0):
    assert go(tmp_path / 'out', f'classes:{pictures}').computed == computed
  assert "'=1+1,,\n'@x%0A,,\n" in (tmp_path / 'out' / 'labels.csv').read_text()


def test_an_image_without_a_label_fails_alone(pictures, tmp_path):
  for old, new in (('class0', 'ant'), ('class1', 'bee')):
    (pictures / old).rename(pictures / new)
  dataset = open_dataset(f'classes:{pictures}')
  read = dataset.read
  some = dataclasses.replace(
    dataset, read=lambda i: read(i) if i != 2 else read(i)._replace(label=-1)
  )
  made = dataclasses.replace(experiment(lambda *_: ''), targets=label_targets(small_net(), dataset))
  outcome = Run(made, some, config(), tmp_path / 'out')()
  assert outcome.failed == 1 and statuses(outcome).count(DONE) == 6
  assert 'ant/2.png: it has no label' in (tmp_path / 'out' / 'failures.csv').read_text()


@pytest.mark.parametrize('damage', ['flipped', 'missing'])
def test_what_is_damaged_is_named_and_computed_again_once_it_is_removed(pictures, tmp_path, damage):
  out, images = tmp_path / 'out', f'classes:{pictures}'
  go(out, images)
  group = out / 'results.zarr' / '32x32'
  file = group / 'mean' / 'c' / '0'
  before, data = means(out), bytearray(file.read_bytes())
  data[3] ^= 1
  file.unlink()
  if damage == 'flipped':
    file.write_bytes(data)
  what = {'flipped': 'damaged', 'missing': 'missing'}[damage]
  with pytest.raises(UserError, match=f'mean/c/0 is {what}; it held mean of class0_1') as refused:
    Results(out).field('class0_1', 'mean')
  named = re.findall(rf'{tmp_path}\S*c/0(?=[ ,])', str(refused.value).split('remove ')[1])
  assert named == [str(path) for path in (file, group / 'status' / 'c' / '0') if path.exists()]
  for path in named:
    pathlib.Path(path).unlink()
  assert go(out, images).computed == 2
  np.testing.assert_array_equal(means(out), before)


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
  made = extremal_run.experiment_of(small_net(), asked, Targets(lambda _: 1))

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


def test_an_image_that_a_step_refuses_fails_alone(pictures, tmp_path):
  def picky(_, share):
    if float(share['x'].mean()) == float(small_net().preprocess(picture(3, (32, 32))).mean()):
      raise UserError('not this one')
    return {'value': share['x'].mean((1, 2, 3))}

  step = Step(picky, lambda _: {'value': Field()}, name='picky', compiled=False)
  made = experiment(lambda *_: '')
  made = dataclasses.replace(made, steps=(*made.steps, step))
  outcome = Run(made, open_dataset(f'classes:{pictures}'), config(), tmp_path)()
  assert statuses(outcome, 'picky') == [DONE, DONE, DONE, FAILED, DONE, DONE, DONE]
  assert 'not this one' in (tmp_path / 'failures.csv').read_text()
