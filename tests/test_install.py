"""`pip install -e .`, as the README says: a script anywhere imports the package."""

import ast
import importlib.metadata
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest

ROOT = pathlib.Path(__file__).parent.parent


@pytest.mark.slow
def test_a_script_beside_a_clone_named_perturb_imports_the_package(tmp_path):
  """The clone's folder has the package's name, and would hide it as a namespace."""
  clone = tmp_path / 'perturb'
  shutil.copytree(ROOT / 'perturb', clone / 'perturb')
  for name in ('pyproject.toml', 'requirements.txt', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, clone)
  venv.create(tmp_path / 'venv', with_pip=True)
  python = tmp_path / 'venv' / 'bin' / 'python'
  install = [python, '-m', 'pip', 'install', '--quiet', '--no-deps', '-e', clone]
  subprocess.run(install, check=True)
  (tmp_path / 'script.py').write_text('import perturb\nprint(perturb.UserError.__module__)\n')
  requirements = {'PYTHONPATH': sysconfig.get_path('purelib')}
  done = subprocess.run(
    [python, 'script.py'], cwd=tmp_path, env=requirements, capture_output=True, text=True
  )
  assert done.stdout == 'perturb.errors\n', done.stderr


def imported(source):
  """The packages that a text of Python imports."""
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      yield from (alias.name.split('.')[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield node.module.split('.')[0]


def test_what_is_imported_is_among_the_requirements():
  sources = [path.read_text() for room in ('perturb', 'concepts', 'configs', 'launch')
             for path in ROOT.glob(f'{room}/**/*.py')]  # fmt: skip
  for path in (ROOT / 'README.md', *ROOT.glob('docs/*.md')):
    sources += re.findall(r'^```python\n(.*?)^```', path.read_text(), re.DOTALL | re.MULTILINE)
  names = {name for source in sources for name in imported(source)} - sys.stdlib_module_names
  lines = (ROOT / 'requirements.txt').read_text()
  required = {one.lower() for one in re.findall(r'^[\w-]+', lines, re.MULTILINE)}
  packages = importlib.metadata.packages_distributions()
  of_others = {
    'perturb',
    'concepts',
    'configs',
    'launch',
    'xarray',
  }  # A block of docs/runs.md is not run.
  for name in names - of_others:
    assert required & {one.lower().replace('_', '-') for one in packages.get(name, ())}, name
