"""Heatmaps against what a planted network loses without each part of a picture."""

import csv
import dataclasses

import numpy as np
import pytest

from configs import benchmark as config_file
from perturb.errors import UserError
from perturb.store.results import Results
from perturb.tasks import benchmark
from perturb.tasks.deleted_parts import FOLDER
from tests.concepts.planted import part_masks, planted_net, planted_parts

# The network calls all of them red, and reads nothing but the part that is red.
DATASET = planted_parts(
  ('red', 'green', 'blue', 'outside'), ('red', 'green', 'outside'), ('red', 'outside')
)


@pytest.fixture
def heatmaps(tmp_path):
  """Where one tool marks the part that is read, and another one a part that is not."""
  for tool, part in {'right': 'red', 'wrong': 'green'}.items():
    (tmp_path / tool).mkdir()
    for source in DATASET.sources:
      np.save(tmp_path / tool / f'{source.name}.npy', np.float32(part_masks((part,))[0]))
  return f'{tmp_path}/right, {tmp_path}/wrong'


def run(monkeypatch, work, dataset=DATASET, **fields):
  monkeypatch.setattr(benchmark, 'dataset_of', lambda _: dataset)
  monkeypatch.setattr(benchmark, 'load_network', lambda _: planted_net(16))
  config = config_file.get_config()
  config.update({
    'target': '', 'methods': (), 'baselines': (), 'metrics': ('parts',), 'figures': 0, 'batch': 4,
    'resamples': 20, **fields,
  })  # fmt: skip
  return benchmark.run(config, str(work))


def correlations(work, method, column='parts'):
  with open(work / 'metrics.csv', newline='') as file:
    return [float(r[column] or 'nan') for r in csv.DictReader(file) if r['method'] == method]


def test_a_heatmap_on_the_part_that_the_network_reads_is_right(monkeypatch, heatmaps, tmp_path):
  """Of three parts that lose 1, 0, 0 and have 0, 1, 0: -1/2. What is cut off does not count."""
  work = tmp_path / 'work'
  assert run(monkeypatch, work, heatmaps=heatmaps) == 0
  np.testing.assert_allclose(correlations(work, 'right'), [1, 1, np.nan], rtol=1e-5)
  np.testing.assert_allclose(correlations(work, 'wrong'), [-0.5, -1, np.nan], rtol=1e-5)
  np.testing.assert_allclose(correlations(work, 'wrong', 'parts_mean')[:2], [-0.5, -1], rtol=1e-5)
  without = Results(work / FOLDER)
  assert len(without) == 4 + 3 + 2
  scores = {name: without.field(name, 'score') for name in without.names}
  assert scores['image_0 without red'] == 0 and scores['image_0 without blue'] == 48 / 256
  # It predicts another class without the red; asked is the one that it predicts of the whole.
  assert {int(without.field(name, 'target')) for name in without.names} == {0}


def test_what_the_network_says_without_parts_is_asked_once(monkeypatch, heatmaps, tmp_path):
  work = tmp_path / 'work'
  assert run(monkeypatch, work, heatmaps=heatmaps.split(',')[0]) == 0
  stored = sorted(work.glob(f'{FOLDER}/results.zarr/**/c/*'))
  before = [(path.stat().st_mtime_ns, path.read_bytes()) for path in stored]
  assert stored and run(monkeypatch, work, heatmaps=heatmaps) == 0  # One more.
  assert [(path.stat().st_mtime_ns, path.read_bytes()) for path in stored] == before
  assert correlations(work, 'wrong')[:2] == [-0.5, -1]


def test_a_part_that_cannot_be_left_away_is_named_and_does_not_count(
  monkeypatch, heatmaps, tmp_path
):
  def parts(index):
    found = DATASET.parts(index)

    def without(part):
      if (index, found.names[part]) == (0, 'blue'):
        raise ValueError('no scene')
      return found.without(part)

    return found._replace(without=without)

  work = tmp_path / 'work'
  damaged = dataclasses.replace(DATASET, parts=parts)
  assert run(monkeypatch, work, damaged, heatmaps=heatmaps) == 1
  said = (work / FOLDER / 'failures.csv').read_text()
  assert 'image_0.png without blue: cannot be read (no scene)' in said
  assert correlations(work, 'wrong')[:2] == [-1, -1]


def test_pictures_that_cannot_be_had_without_a_part_are_refused(monkeypatch, heatmaps, tmp_path):
  whole = dataclasses.replace(DATASET, parts=None)
  with pytest.raises(UserError, match=r"config\.metrics: 'parts' needs the pictures without each"):
    run(monkeypatch, tmp_path / 'work', whole, heatmaps=heatmaps)
