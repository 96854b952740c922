"""The task that writes composed pictures: files, labels, which objects are kept, restarts."""

import csv
import json

import numpy as np
from PIL import Image
import pytest

from configs import composites as configs
from perturb import nets
from perturb.data.composites import on_grey
from perturb.data.cutouts import TABLE, read_objects
from perturb.errors import UserError
from perturb.tasks.composites import HEADER, run
from perturb.tasks.registry import TASKS


def object_pixels(seed):
  """A coloured ellipse, uint8 `[40, 30, 4]`."""
  y, x = np.mgrid[-1:1:40j, -1:1:30j]
  pixels = np.random.RandomState(seed).randint(0, 256, (1, 1, 4)).repeat(40, 0).repeat(30, 1)
  pixels[..., 3] = 255 * (x**2 + y**2 <= 1)
  return pixels.astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
  """Ten classes of three objects each, by the names of the digits."""
  for number in range(10):
    place = tmp_path / 'objects' / str(number)
    place.mkdir(parents=True)
    for k in range(3):
      Image.fromarray(object_pixels(3 * number + k)).save(place / f'{k}.png')
  return tmp_path


def config_of(folder, **changes):
  config = configs.get_config()
  config.update({'objects': str(folder / 'objects'), 'keep': 'all', 'pictures': 4, 'size': 64})
  config.update(changes)
  return config


def contents(workdir):
  return {
    str(path.relative_to(workdir)): path.read_bytes()
    for path in workdir.rglob('*')
    if path.is_file() and path.name not in ('versions.json', '.lock')
  }


def rows_of(workdir):
  with open(workdir / 'labels.csv', newline='', encoding='utf-8') as file:
    header, *rows = csv.reader(file)
  assert tuple(header) == HEADER
  return rows


def test_the_files_are_those_that_labels_csv_names(folder):
  out = folder / 'out'
  assert TASKS['composites'] is run
  assert run(config_of(folder, per_picture=3), str(out)) == 0
  rows = rows_of(out)
  assert len(rows) == 12 and len({row[0] for row in rows}) == 4
  found = contents(out)
  named = {name for image, _, mask in rows for name in (image, mask)}
  assert set(found) - named == {'labels.csv', 'config.json', 'contact_sheet.png'}
  assert named <= set(found)
  for image, label, mask in rows:
    picture, seen = (np.asarray(Image.open(out / name)) for name in (image, mask))
    assert picture.shape == (64, 64, 3) and seen.shape == (64, 64)
    assert set(np.unique(seen)) == {0, 255}
    assert mask == f'masks/{image[7:-4]}_{label}.png'
    colours = [object_pixels(3 * int(label) + k)[20, 15, :3] for k in range(3)]
    inside = np.median(picture[seen == 255], axis=0)
    assert min(np.abs(inside - colour).max() for colour in colours) <= 1
  assert json.loads(found['config.json'])['per_picture'] == 3
  assert Image.open(out / 'contact_sheet.png').size[0] > 300


def test_a_run_that_was_stopped_goes_on_and_a_finished_one_is_the_same_again(folder):
  whole, stopped = folder / 'whole', folder / 'stopped'
  run(config_of(folder), str(whole))
  expected = contents(whole)
  run(config_of(folder), str(stopped))
  (stopped / 'labels.csv').unlink()
  (stopped / 'images/0002.png').unlink()
  next((stopped / 'masks').glob('0003_*')).write_bytes(b'half')
  run(config_of(folder), str(stopped))
  run(config_of(folder), str(whole))
  assert contents(whole) == expected == contents(stopped)
  with pytest.raises(UserError, match='seed was 0, is 1'):
    run(config_of(folder, seed=1), str(whole))


def test_known_objects_are_those_whose_class_scores_highest(folder, capsys):
  """By the network itself, an object at a time."""
  net = nets.load('mnist', 'random')
  scores = {
    (one.name, one.label): np.asarray(net(net.preprocess(on_grey(one, net.size))[None]))[0]
    for one in read_objects(str(folder / 'objects'))
  }
  for top in (1, 5):
    known = {
      label for (_, label), row in scores.items() if int(label) in np.argsort(row)[::-1][:top]
    }
    count = sum(int(label) in np.argsort(row)[::-1][:top] for (_, label), row in scores.items())
    changes = {'keep': 'known', 'network': 'mnist', 'weights': 'random', 'top': top}
    out = folder / f'top{top}'
    run(config_of(folder, per_picture=1, pictures=40, **changes), str(out))
    assert 0 < count < 30
    assert f'kept {count} of 30 objects, {len(known)} of 10 classes' in capsys.readouterr().out
    assert {row[1] for row in rows_of(out)} == known


def test_two_names_of_a_class_are_one_class(folder, capsys):
  (folder / 'objects' / '4').rename(folder / 'objects' / '03')
  known = {'keep': 'known', 'network': 'mnist', 'weights': 'random', 'top': 10}
  run(config_of(folder, per_picture=9, pictures=1, **known), str(folder / 'out'))
  assert 'kept 30 of 30 objects, 9 of 9 classes' in capsys.readouterr().out
  assert {row[1] for row in rows_of(folder / 'out')} == {*'01256789', '03'}


def test_a_class_that_the_network_does_not_have_is_said(folder):
  (folder / 'objects' / '3').rename(folder / 'objects' / 'hamster')
  config = config_of(folder, keep='known', network='mnist', weights='random')
  with pytest.raises(UserError, match=r"'hamster' is not a class.*config\.keep=all"):
    run(config, str(folder / 'out'))


def test_names_of_classes_are_harmless_in_names_of_files(folder):
  for old, new in zip('0123', ('A b', 'a_b', '=1+1', 'é'), strict=True):
    (folder / 'objects' / old).rename(folder / 'objects' / new)
  out = folder / 'out'
  run(config_of(folder, per_picture=8), str(out))
  written = {row[1]: row[2] for row in rows_of(out)}
  assert {written[label].partition('_')[2] for label in ('A b', 'a_b')} == {'A_b.png', 'a_b_2.png'}
  assert written["'=1+1"].endswith('_=1+1.png')
  assert all((out / name).is_file() for name in written.values())


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'keep': 'some'}, r'config\.keep must be one of known, all'),
    ({'pictures': 0}, r'config\.pictures must be at least 1'),
    ({'seed': -1}, r'config\.seed must be at least 0'),
    ({'per_picture': 11}, 'a picture of 11 objects of different classes'),
    ({'objects': '', 'stamps': '/nowhere'}, 'apt-get install tuxpaint-stamps-default'),
  ],
)
def test_a_config_that_cannot_be_run(folder, changes, message):
  with pytest.raises(UserError, match=message):
    run(config_of(folder, **changes), str(folder / 'out'))


def test_the_classes_of_the_stamps_are_usual_names_of_one_class_each():
  names = nets.zoo.imagenet_class_names()
  usual = [line.split(',')[0] for line in names]
  with open(f'perturb/data/{TABLE}', newline='', encoding='utf-8') as file:
    rows = list(csv.DictReader(file))
  assert len({row['file'] for row in rows}) == len(rows) > 100
  for row in rows:
    assert usual.count(row['class']) == 1, row
    assert 'cartoon' not in row['file'] and not row['file'].startswith('/')
