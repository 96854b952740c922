"""The task that writes flowers: files, labels, restarts."""

import csv

import numpy as np
from PIL import Image
import pytest

from configs import an8flower as configs
from perturb.data.datasets import open_dataset
from perturb.errors import UserError
from perturb.tasks.an8flower import HEADER, run
from perturb.tasks.registry import TASKS


def config_of(**changes):
  config = configs.get_config()
  config.update({'variant': 'part-2c', 'viewpoints': 1, 'crops': 2, 'rotations': 2, **changes})
  return config


def contents(workdir):
  return {
    str(path.relative_to(workdir)): path.read_bytes()
    for path in workdir.rglob('*')
    if path.is_file() and path.name not in ('versions.json', '.lock')
  }


def test_the_files_are_the_items_of_the_set(tmp_path):
  """The first viewpoint is the same of however many; `masks:` reads the workdir too."""
  assert TASKS['an8flower'] is run
  run(config_of(), str(tmp_path))
  with open(tmp_path / 'labels.csv', newline='', encoding='utf-8') as file:
    header, *rows = csv.reader(file)
  assert tuple(header) == HEADER and len(rows) == 8
  rendered = open_dataset('an8flower:part-2c')
  index_of = {source.name: i for i, source in enumerate(rendered.sources)}
  written = open_dataset(f'an8flower:{tmp_path}/an8Flower_part_2c')
  listed = open_dataset(f'masks:{tmp_path}')
  assert [source.path for source in written.sources] == [str(tmp_path / row[0]) for row in rows]
  for k, source in enumerate(written.sources):
    i = index_of[source.name]
    (picture, label), (expected, _) = written.picture(k), rendered.picture(i)
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(expected))
    for mask in (written.region(k).mask(), listed.region(k).mask()):
      np.testing.assert_array_equal(mask, rendered.region(i).mask())
    assert rows[k][1:] == [
      rendered.class_names[label],
      rows[k][0].replace('part_2c/', 'part_2c_MASK/'),
      '0',
    ]
  assert Image.open(tmp_path / 'contact_sheet.png').size[0] > 400


def test_a_run_that_was_stopped_goes_on_and_a_finished_one_is_the_same_again(tmp_path):
  whole, stopped = tmp_path / 'whole', tmp_path / 'stopped'
  changes = {'crops': 1, 'rotations': 1, 'background': 'textured', 'jitter': 1.0}
  run(config_of(**changes), str(whole))
  expected = contents(whole)
  run(config_of(**changes), str(stopped))
  (stopped / 'labels.csv').unlink()
  (stopped / 'an8Flower_part_2c/balls/class1_img0_p1_r1.png').unlink()
  (stopped / 'an8Flower_part_2c_MASK/thorns/class2_img0_p1_r1.png').write_bytes(b'half')
  run(config_of(**changes), str(stopped))
  assert contents(whole) == expected == contents(stopped)
  with pytest.raises(UserError, match='seed was 0, is 1'):
    run(config_of(**changes, seed=1), str(whole))


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'variant': 'single'}, r'config\.variant must be one of single-6c, double-12c, part-2c'),
    ({'background': 'wood'}, r'config\.background must be one of plain, textured'),
    ({'viewpoints': 0}, r'config\.viewpoints must be at least 1'),
    ({'crops': 6}, r'config\.crops must be at most 5, not 6'),
    ({'rotations': 9}, r'config\.rotations must be at most 5, not 9'),
    ({'jitter': 1.5}, r'config\.jitter must be at most 1, not 1\.5'),
    ({'seed': -1}, r'config\.seed must be at least 0'),
  ],
)
def test_a_config_that_cannot_be_run(tmp_path, changes, message):
  with pytest.raises(UserError, match=message):
    run(config_of(**changes), str(tmp_path / 'out'))
