"""Imports go one way, and what a config runs has the config's name."""

import ast
import importlib
import pathlib
import pkgutil

import pytest

import perturb
from perturb.tasks.registry import TASKS

ROOT = pathlib.Path(__file__).parents[1]

# The floors, lowest first: a room imports from floors below its own, and from itself.
FLOORS = (
  {'errors', 'closures', 'lazy', 'nested'},
  {'compiled'},
  {'base', 'chunks', 'console', 'memory', 'options', 'usage', 'data', 'ops'},
  {'nets'},
  {'methods'},
  {'training', 'store'},
  {'evaluate'},
  {'figures'},
  {'run'},
  {'tasks', 'command_line'},
  {'main'},
)
# What the package's root offers notebooks, and no room may lean on.
FACES = {'__init__', 'api', 'studies'}


def room_of(path):
  """'nets' of perturb/nets/kernels/pooling.py, 'base' of perturb/base.py."""
  return path.relative_to(ROOT / 'perturb').parts[0].removesuffix('.py')


def imports_of(path):
  """The modules that a file imports, at its top or inside a function."""
  found = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, f'{path}: a relative import'
      found |= {f'{node.module}.{alias.name}' for alias in node.names}
  return found


MODULES = sorted((ROOT / 'perturb').rglob('*.py'))
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}


@pytest.mark.parametrize('room', sorted({room_of(path) for path in MODULES} - FACES))
def test_a_room_imports_from_below(room):
  for path in (path for path in MODULES if room_of(path) == room):
    for name in imports_of(path):
      top, *rest = name.split('.')
      assert top not in ('concepts', 'configs', 'launch', 'tests'), f'{path} imports {name}'
      if top == 'perturb' and rest and rest[0] != room:
        below = FLOOR_OF.get(rest[0], len(FLOORS)) < FLOOR_OF[room]
        assert below, f'{path.relative_to(ROOT)} imports {name}, which is not below {room}'


def test_every_room_has_its_floor():
  assert {room_of(path) for path in MODULES} - FACES == set(FLOOR_OF)


def test_methods_read_no_flags_and_draw_nothing():
  for path in (path for path in MODULES if room_of(path) in ('methods', 'ops', 'evaluate')):
    forbidden = {'absl', 'ml_collections', 'matplotlib'}
    assert not {name.split('.')[0] for name in imports_of(path)} & forbidden, path


def test_no_module_is_hidden_by_a_name_of_its_package():
  for module in pkgutil.walk_packages(perturb.__path__, 'perturb.'):
    if module.name == 'perturb.main':
      continue
    found = importlib.import_module(module.name)
    package, _, leaf = module.name.rpartition('.')
    assert getattr(importlib.import_module(package), leaf) is found, module.name


SHARED = {'__init__', 'common'}  # Files in configs/ that are no experiments.
CONFIGS = sorted(path.stem for path in (ROOT / 'configs').glob('*.py') if path.stem not in SHARED)


# Configs of the benchmark with some of its metrics, by the names that the papers give them.
PROTOCOLS = {'pointing', 'localisation', 'deletion', 'sanity', 'class_sensitivity'}


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_has_the_name_of_its_task(name):
  """`extremal`, or a variant of it: `extremal_paper`; or a protocol of the benchmark."""
  task = importlib.import_module(f'configs.{name}').get_config().task
  assert task in TASKS
  assert (
    name == task or name.startswith(f'{task}_') or (task, name in PROTOCOLS) == ('benchmark', True)
  )


@pytest.mark.parametrize('name', sorted(PROTOCOLS))
def test_a_protocol_is_the_benchmark_with_fewer_metrics(name):
  of_all, fewer = (
    importlib.import_module(f'configs.{one}').get_config().to_dict() for one in ('benchmark', name)
  )
  assert name in fewer['metrics']
  assert {field for field in of_all if of_all[field] != fewer[field]} == {'metrics'}


@pytest.mark.parametrize('task', TASKS)
def test_a_task_has_its_file_and_its_config(task):
  assert TASKS[task] is importlib.import_module(f'perturb.tasks.{task}').run
  assert any(name == task or name.startswith(f'{task}_') for name in CONFIGS)
