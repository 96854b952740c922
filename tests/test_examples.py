"""The examples in the docstrings of `perturb` and `concepts`: they run, and print what they say."""

import doctest
import importlib
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import concepts
from configs import extremal, heatmaps
import perturb
from perturb.tasks.registry import TASKS
from tests.concepts.planted import planted_probe
from tests.small_net import IMAGES, small_net

ROOT = pathlib.Path(perturb.__file__).parents[1]
FILES = sorted([*ROOT.glob('perturb/**/*.py'), *ROOT.glob('concepts/**/*.py')])
SOURCES = [path for path in FILES if '>>>' in path.read_text()]


def module_of(path):
  return importlib.import_module('.'.join(path.relative_to(ROOT).with_suffix('').parts))


EXAMPLES = [
  example
  for path in SOURCES
  for example in doctest.DocTestFinder(exclude_empty=True).find(module_of(path))
  if example.examples
]


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """A folder with `runs/extremal` and `runs/heatmaps`, of two photographs seen as digits are."""
  folder = tmp_path_factory.mktemp('examples')
  for config in (extremal.get_config(), heatmaps.get_config()):
    config.network, config.weights, config.images = 'mnist', 'random', 'chelsea, coffee'
    config.figures = 0
    if config.task == 'extremal':
      config.settings.iterations, config.areas = 3, (0.1, 0.3)
    assert TASKS[config.task](config, str(folder / 'runs' / config.task)) == 0
  return folder


@pytest.mark.parametrize('example', EXAMPLES, ids=lambda example: example.name)
def test_an_example_prints_what_it_says(example, request, monkeypatch):
  assert example.examples[-1].want, 'nothing that the example says could be wrong'
  if "'runs/" in example.docstring:
    monkeypatch.chdir(request.getfixturevalue('runs'))
  example.globs = {
    'jax': jax,
    'jnp': jnp,
    'np': np,
    'perturb': perturb,
    'concepts': concepts,
    'images': IMAGES,
    'net': small_net(),
    'probe': planted_probe(),
    'x': IMAGES[:1],
    'cat': 2,
  }
  printed = []
  result = doctest.DocTestRunner().run(example, out=printed.append)
  assert result.failed == 0, ''.join(printed)


def test_every_example_is_found():
  written = sum(path.read_text().count('>>> ') for path in SOURCES)
  assert sum(len(example.examples) for example in EXAMPLES) == written > 0
