"""`--help`, and what a mistake in a flag says: at once, in a line."""

import importlib
import subprocess
import sys

import pytest

import perturb
from perturb.command_line import GROUPS
from perturb.nested import flatten
from perturb.usage import text
from perturb.usage.comments import comments_of
from tests.commands import ROOT

CONFIGS = text.config_files()
SOURCE = '''"""Cats."""

from configs import common

def get_config():
  config = common.subjects()
  # Where they sit.
  config.mat = 'red'

  # The looks.
  config.tail = 3  # In centimetres.
  config.settings = dict({
    'fur': 1,  # Of it.
    'eyes': 2,
  })
  common.add_run(config)
  config.batch = 5
  return config
'''


def config_of(path):
  return importlib.import_module(f'configs.{path.stem}').get_config()


def test_the_comments_of_a_config(tmp_path):
  path = tmp_path / 'cats.py'
  path.write_text(SOURCE)
  found = comments_of(path)
  assert found['mat'] == ('Where they sit.', 'Cats.')
  assert found['tail'] == ('In centimetres.', 'The looks.')
  assert found['settings.fur'] == ('Of it.', 'The looks.')
  assert found['settings.eyes'].text == ''
  assert found['batch'].text.startswith('Images that a device')  # As configs/common.py has it.
  assert found['images'].section.startswith('What is explained')


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_field_of_a_config_is_explained(path):
  comments = comments_of(path)
  assert [name for name in config_of(path) if name != 'task' and not comments[name].text] == []


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_the_help_of_a_config_has_its_fields_and_fits_a_page(path):
  fields = flatten(config_of(path).to_dict(), empty=True)
  page = text.config_page(str(path.relative_to(ROOT)), fields)
  assert max(map(len, page.splitlines())) <= text.WIDTH
  for name in fields:
    assert name == 'task' or f'\n  {name} = ' in page


def test_the_help_of_a_config_has_the_options_of_the_method_it_names():
  heatmaps = next(path for path in CONFIGS if path.stem == 'heatmaps')
  fields = {'method': 'meta:norm_grad', 'options': {}}
  page = text.config_page(str(heatmaps), fields)
  assert '\n  window = 1 ' in page and '\n  epsilon = 0.001 ' in page
  assert '\n  masks = 4000 ' not in page


def test_the_help_of_a_method_that_is_not_there_says_so():
  heatmaps = next(path for path in CONFIGS if path.stem == 'heatmaps')
  assert "'rize' is not known; did you mean 'rise'" in text.config_page(
    str(heatmaps), {'method': 'rize', 'options': {}}
  )


def test_a_page_that_is_read_in_part_is_no_mistake():
  command = f'{sys.executable} -m perturb.main --help | head -1'
  done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
  assert done.stderr == '' and done.stdout.startswith('usage: ')


def python(code):
  return subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)


def run(*arguments):
  """A command that ends before anything heavy is imported, which would be an error."""
  heavy = "for name in ('jax', 'flax', 'tensorflow', 'matplotlib'): sys.modules[name] = None"
  start = 'runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)'
  return python(f'import runpy, sys\n{heavy}\nsys.argv = {list(arguments)}\n{start}')


def test_help_lists_configs_flags_and_options_without_jax():
  done = run('perturb.main', '--help')
  assert done.returncode == 0, done.stderr
  assert max(map(len, done.stdout.splitlines())) <= text.WIDTH
  for path in CONFIGS:
    assert f'configs/{path.name} ' in done.stdout
  for names in GROUPS.values():
    for name in names:
      assert f'--{name} ' in done.stdout
  assert '\n  rise ' in done.stdout and ' masks, ' in done.stdout


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ([], '--config is required'),
    (['--config=configs/extremal.py'], '--workdir is required'),
    (['--config=configs/extremal.py', '--workdri=x'], 'no flag --workdri; did you mean --workdir?'),
    (['--config=configs/extremel.py', '--workdir=x'], "did you mean 'extremal'"),
    (['--config=configs/extremal.py', '--workdir=x', '--config.arees=1'], "mean 'areas'?"),
    (['--config=configs/box.py', '--workdir=x', '--processes=2'], 'needs --coordinator'),
  ],
)
def test_a_mistake_in_a_flag_is_a_line_without_jax(arguments, message):
  done = run('perturb.main', *arguments)
  assert done.returncode == 1
  (line,) = done.stderr.splitlines()
  assert line.startswith('error: ') and message in line


@pytest.mark.parametrize('module', ['launch.local', 'launch.tpu'])
def test_the_help_of_a_sweep_has_its_flags(module):
  done = run(module, '--help')
  assert done.returncode == 0, done.stderr
  assert f'python -m {module}' in done.stdout and '--config ' in done.stdout


def test_the_root_has_its_names_once_they_are_asked_for():
  done = python('import sys, perturb; print("jax" in sys.modules)')
  assert done.stdout == 'False\n', done.stderr
  assert set(perturb.api.__all__) <= set(dir(perturb))
  assert perturb.grad_cam is perturb.api.grad_cam
  assert not hasattr(perturb, 'grad_camm')
