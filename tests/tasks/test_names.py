"""Names of files and classes that are markup, formulas or no text at all: shown, and no more."""

import csv
import html.parser
import importlib
import json
import os

import numpy as np
from PIL import Image
import pytest

import perturb
from perturb.errors import UserError
from perturb.tasks.registry import TASKS
from tests.data.test_datasets import picture

MARKUP = '"\'<!--<script>\n</script>'
NAMES = {  # Of files -> those of the images.
  b'=1+1': '=1+1',
  b'\xff\xfe': '%FF%FE',
  b'a\nb': 'a%0Ab',
  b'a%0Ab': 'a%0Ab_2',
  b'heatmaps': 'heatmaps',
  b'x' * 251: 'x' * 191 + '~92548c73',
}
CLASSES = [
  MARKUP.replace('\n', ' '),
  '=cmd()',
  r'$\frac{$',
  '-',
  '@x',
  '+',
  '写',
  '\x1b[31m',
  'y' * 300,
  '$',
]


def go(task, folder, **changes):
  """What a task returns; the last words of its run are printed."""
  (folder / 'classes.txt').write_text('\n'.join(CLASSES), encoding='utf-8')
  config = importlib.import_module(f'configs.{task}').get_config()
  config.network, config.weights, config.images = 'mnist', 'random', f'{folder}/data'
  config.class_names, config.batch = f'{folder}/classes.txt', 2
  config.update(changes)
  return TASKS[task](config, str(folder / 'out'))


def write(folder, name, index):
  folder.mkdir(exist_ok=True)
  path = os.path.join(os.fsencode(folder), name + b'.png')
  Image.fromarray(picture(index, (28, 28))).save(os.fsdecode(path))


def table(path):
  with open(path, newline='', encoding='utf-8') as file:
    return list(csv.DictReader(file))


def test_pictures_of_any_name_are_explained_and_drawn_apart(tmp_path, capsys):
  for i, name in enumerate(NAMES):
    write(tmp_path / 'data', name, 700 * i)
  (tmp_path / 'data' / 'broken\x1b[31m\n.png').write_bytes(b'nothing')
  assert go('heatmaps', tmp_path, method='gradient', figures=9) == 1
  said = capsys.readouterr()
  assert f'{len(NAMES)} of {len(NAMES) + 1} explained' in said.out
  assert 'broken\\x1b[31m\\n.png: not an image' in said.err
  assert '\x1b' not in said.out + said.err
  found = perturb.Results(tmp_path / 'out')
  assert sorted(found.names) == sorted(NAMES.values())
  drawn = {path.name for path in (tmp_path / 'out' / 'figures').iterdir()}
  assert drawn == {f'{name}.png' for name in (*NAMES.values(), 'heatmaps_2')}
  for table_name in ('scores', 'images'):
    shown = {
      row['image'].removeprefix("'") for row in table(tmp_path / 'out' / f'{table_name}.csv')
    }
    assert set(NAMES.values()) <= shown
    for row in table(tmp_path / 'out' / f'{table_name}.csv'):
      assert not any(cell[:1] in ('=', '@') for cell in row.values())
  (failure,) = table(tmp_path / 'out' / 'failures.csv')
  assert failure['image'] == 'broken%1B[31m%0A'
  before = [found.field(name, 'digest') for name in found.names]
  assert go('heatmaps', tmp_path, method='gradient', figures=0) == 1
  said = capsys.readouterr()
  assert f'{len(NAMES)} of' in said.out and 'compilation' not in said.out  # Nothing is new.
  again = perturb.Results(tmp_path / 'out')
  np.testing.assert_array_equal([again.field(name, 'digest') for name in found.names], before)


def test_a_workdir_that_arrays_cannot_be_in_is_a_line(tmp_path):
  folder = tmp_path / 'w\udcff'
  folder.mkdir()
  write(folder / 'data', b'a', 0)
  with pytest.raises(UserError, match=r'w\\xff/out: its name is no UTF-8'):
    go('heatmaps', folder, method='gradient')


class Scripts(html.parser.HTMLParser):
  """What a browser takes for elements, by name, and the text of the data."""

  def __init__(self):
    super().__init__()
    self.tags, self.data = [], ''

  def handle_starttag(self, tag, _):
    self.tags.append(tag)

  def handle_data(self, data):
    if self.tags[-1:] == ['script'] and data.startswith('{'):
      self.data = data


def test_the_report_shows_names_as_text(tmp_path):
  write(tmp_path / 'data', MARKUP.replace('/', '').encode(), 0)
  few = {'areas': (0.1, 0.3), 'settings': {'iterations': 10}, 'batch': 1}
  assert go('extremal', tmp_path, **few, target='0', figures=1) == 0
  page, parser = (tmp_path / 'out' / 'report.html').read_text(), Scripts()
  parser.feed(page)
  assert parser.tags.count('script') == 2 and 'article' not in parser.tags
  assert page.split('id="data">')[1].split('</script>')[0].count('<') == 0
  (item,) = json.loads(parser.data)['items']
  assert item['name'] == MARKUP.replace('/', '').replace('\n', '%0A')
  assert item['class_name'] == CLASSES[0]
  drawn = {path.name for path in (tmp_path / 'out' / 'figures').iterdir()}
  assert {f'{item["name"]}_{kind}.png' for kind in ('growth', 'mask', 'scores')} < drawn
