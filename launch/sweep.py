"""What a sweep consists of: the runs that a config file's `sweep()` asks for."""

from collections.abc import Sequence
import importlib.util
import pathlib
import re
import shlex
import sys
from typing import Any, NamedTuple

from perturb.errors import UserError, did_you_mean
from perturb.nested import flatten

ROOT = pathlib.Path(__file__).parents[1]


class Job(NamedTuple):
  """A run of a sweep.

  Attributes:
    name: of its folder, from what sets it apart: `iterations=50,seed=1`.
    workdir: its folder.
    arguments: of the command.
    entry: the module that is started: `perturb.main`, or `concepts.main`.
  """

  name: str
  workdir: pathlib.Path
  arguments: tuple[str, ...]
  entry: str = 'perturb.main'

  @property
  def command(self) -> list[str]:
    """What starts it on this machine."""
    return [sys.executable, '-m', self.entry, *self.arguments]

  @property
  def shell(self) -> str:
    """What starts it elsewhere, as a line for a shell."""
    return shlex.join(['python3', '-m', self.entry, *self.arguments])


def _module(path: str) -> Any:
  spec = importlib.util.spec_from_file_location('sweep_config', path)
  if not pathlib.Path(path).is_file() or spec is None or spec.loader is None:
    raise UserError(f'--config={path}: no such file of Python')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  if not hasattr(module, 'get_config'):
    raise UserError(f'--config={path}: no experiment; it has no get_config()')
  return module


def _name(overrides: dict[str, Any]) -> str:
  last = [field.rsplit('.', 1)[-1] for field in overrides]
  fields = last if len(set(last)) == len(last) else list(overrides)
  pairs = ','.join(f'{f}={v}' for f, v in zip(fields, overrides.values(), strict=True))
  return re.sub(r'[^\w.,=+-]+', '_', pairs).strip('_') or 'run'


def _check(overrides: dict[str, Any], fields: dict[str, Any], path: str) -> None:
  for field in overrides:
    # Options and settings that a config does not name are known to its task.
    if field not in fields and not field.startswith(('options.', 'settings.')):
      hint = did_you_mean(field, list(fields))
      raise UserError(f'{path}: the config has no field {field!r}{hint}')


def _entry(fields: dict[str, Any]) -> str:
  """The module that has the task of a config: a file of its name, in one package or the other."""
  task = ROOT / 'concepts' / 'tasks' / f'{fields.get("task")}.py'
  return 'concepts.main' if task.exists() else 'perturb.main'


def jobs_of(path: str, workdir: str, every: Sequence[str] = ()) -> list[Job]:
  """The runs of a sweep.

  Args:
    path: of a config file. Its `sweep()` yields, for each run, field -> value, nested fields by
      dotted names: `{'settings.iterations': 100, 'seed': 1}`. Without one there is a single run.
    workdir: of the sweep.
    every: `field=value` for all runs.

  Raises:
    UserError: for a file or field that is not there, or two runs alike.
  """
  module = _module(path)
  fields = flatten(module.get_config().to_dict())
  common = dict(item.partition('=')[::2] for item in every)
  _check(common, fields, '--set')
  jobs: dict[str, Job] = {}
  for overrides in module.sweep() if hasattr(module, 'sweep') else [{}]:
    _check(overrides, fields, path)
    name = _name(overrides)
    if name in jobs:
      raise UserError(f'{path}: two runs of the sweep are named {name!r}')
    folder = pathlib.Path(workdir) / name
    values = {**common, **overrides}
    settings = [f'--config.{field}={value}' for field, value in values.items()]
    arguments = (f'--config={path}', f'--workdir={folder}', *settings)
    jobs[name] = Job(name, folder, arguments, _entry(fields))
  return list(jobs.values())
