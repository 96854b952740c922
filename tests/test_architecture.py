"""Imports go one way, and what a config runs has the config's name."""

import ast
import importlib
import pathlib
import pkgutil

import pytest

import concepts
from concepts.tasks import registry
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
# Of concepts/, likewise; all of it stands on perturb/.
CONCEPTS = (
  {
    'features', 'gram', 'active_set', 'probe', 'quantiles', 'bilinear', 'binarised',
    'annotation_tables', 'label_maps', 'splits', 'embeddings', 'wordnet', 'word_vectors',
    'labelled_pairs', 'vector_threads', 'patch_similarity', 'sprites', 'channel_weights',
  },
  {
    'filter_norms', 'feature_maps', 'lasso', 'regions', 'vector_steps', 'concept_classifiers',
    'broden', 'label_folders', 'drawing', 'maps', 'filter_use', 'concept_scores',
    'vector_networks', 'packing', 'transforms', 'factor_groups',
  },
  {
    'cross_validation', 'heatmaps', 'ablation', 'average_images', 'relevant', 'dissection',
    'concept_vectors', 'concept_masks', 'probes', 'scenes',
  },
  {'single_filters'},
  {'probe_vectors'},
  {'figures'},
  {'overlays'},
  {'tasks'},
  {'main'},
)  # fmt: skip
# What the package's root offers notebooks, and no room may lean on.
FACES = {'__init__', 'api', 'studies'}
PURE = ('methods', 'ops', 'evaluate')  # Rooms of functions that read no flags and draw nothing.


def room_of(path):
  """'nets' of perturb/nets/kernels/pooling.py, 'base' of perturb/base.py."""
  return path.relative_to(ROOT).parts[1].removesuffix('.py')


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


MODULES = {name: sorted((ROOT / name).rglob('*.py')) for name in ('perturb', 'concepts')}
FLOOR_OF = {
  package: {room: number for number, floor in enumerate(floors) for room in floor}
  for package, floors in (('perturb', FLOORS), ('concepts', CONCEPTS))
}
ROOMS = sorted({(p, room_of(path)) for p in MODULES for path in MODULES[p]})


@pytest.mark.parametrize(('package', 'room'), [one for one in ROOMS if one[1] not in FACES])
def test_a_room_imports_from_below(package, room):
  above = {'configs', 'launch', 'tests'} | ({'concepts'} if package == 'perturb' else set())
  floor_of = FLOOR_OF[package]
  for path in (path for path in MODULES[package] if room_of(path) == room):
    for name in imports_of(path):
      top, *rest = name.split('.')
      assert top not in above, f'{path} imports {name}'
      if top == package and rest and rest[0] != room:
        below = floor_of.get(rest[0], len(floor_of)) < floor_of[room]
        assert below, f'{path.relative_to(ROOT)} imports {name}, which is not below {room}'


@pytest.mark.parametrize('package', MODULES)
def test_every_room_has_its_floor(package):
  assert {room_of(path) for path in MODULES[package]} - FACES == set(FLOOR_OF[package])


def test_methods_read_no_flags_and_draw_nothing():
  pure = [path for path in MODULES['perturb'] if room_of(path) in PURE]
  for path in pure:
    forbidden = {'absl', 'ml_collections', 'matplotlib'}
    assert not {name.split('.')[0] for name in imports_of(path)} & forbidden, path


@pytest.mark.parametrize('root', [perturb, concepts], ids=lambda root: root.__name__)
def test_no_module_is_hidden_by_a_name_of_its_package(root):
  for module in pkgutil.walk_packages(root.__path__, f'{root.__name__}.'):
    if module.name == f'{root.__name__}.main':
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
  assert (task in TASKS) != (task in registry.TASKS)
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


@pytest.mark.parametrize(
  ('package', 'task'),
  [*(('perturb', task) for task in TASKS), *(('concepts', task) for task in registry.TASKS)],
)
def test_a_task_has_its_file_and_its_config(package, task):
  tasks = TASKS if package == 'perturb' else registry.TASKS
  assert tasks[task] is importlib.import_module(f'{package}.tasks.{task}').run
  assert any(name == task or name.startswith(f'{task}_') for name in CONFIGS)
