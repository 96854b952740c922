"""The command line of every entry point: a config and a workdir; a mistake is said in one line."""

import ast
from collections.abc import Callable, Mapping
import os
import pathlib
import re
import sys
from typing import Any

from absl import app, flags
from ml_collections import ConfigDict, config_flags

from perturb.console import quiet, show_any_text
from perturb.errors import UserError, did_you_mean
from perturb.memory import keep_freed_memory
from perturb.nested import flatten
from perturb.usage import text
from perturb.usage.flags import flag_help, in_one_line, leave_with, without_help

CACHE = flags.DEFINE_string(
  'compilation_cache',
  os.path.join(os.path.expanduser('~'), '.cache', 'perturb'),
  "Folder of JAX's compiled programs, so that the second start is quick; '' for none.",
)

DISTRIBUTED = flags.DEFINE_bool(
  'distributed', False, 'Be one of several processes, as Slurm, a TPU pod or GKE started them.'
)
COORDINATOR = flags.DEFINE_string(
  'coordinator', '', 'host:port of process 0, where --processes are started by hand.'
)
PROCESSES = flags.DEFINE_integer('processes', 1, 'How many there are.', lower_bound=1)
PROCESS = flags.DEFINE_integer('process', 0, 'Which one this is, from 0.', lower_bound=0)


Task = Callable[[ConfigDict, str], int]  # Of (config, workdir); how many items failed.
COMMAND = 'python -m {} --config=configs/NAME.py --workdir=FOLDER [--config.FIELD=VALUE]'
MODULES = ('perturb.main', 'concepts.main')  # Each runs the tasks of its own package.
GROUPS = {  # Title -> flags, for `--help`.
  'Flags': ('config', 'workdir', 'compilation_cache'),
  'Several processes, which share the images of a run': (
    'distributed',
    'coordinator',
    'processes',
    'process',
  ),
}


def start(load_tasks: Callable[[], Mapping[str, Task]], module: str = MODULES[0]) -> None:
  """Parses the command line and runs the task that its config names; ends the process.

  The exit status is 0 if nothing failed, and 1 otherwise. JAX is not imported before the flags are
  known to be right: a mistake in them, and `--help`, are answered at once.

  Args:
    load_tasks: gives name, the config's field `task` -> what runs it.
    module: which of `MODULES` is started.
  """
  config = config_flags.DEFINE_config_file(
    'config', None, 'File of the experiment, such as configs/extremal.py.'
  )
  workdir = flags.DEFINE_string('workdir', None, 'Folder for results, figures and the report.')

  def main(_: list[str]) -> None:
    try:
      start_jax()
      join_processes()
      task = _task_of(config.value, load_tasks(), module)
      failed = task(config.value, str(workdir.value))
      leave_together()
    except UserError as error:
      raise SystemExit(f'error: {error}') from error
    except KeyboardInterrupt:
      raise SystemExit('interrupted; start again to go on') from None
    sys.exit(1 if failed else 0)

  app.run(main, flags_parser=parser(config, workdir, module))


def _task_of(config: ConfigDict, tasks: Mapping[str, Task], module: str) -> Task:
  name = config.get('task')
  if name not in tasks:
    (other,) = set(MODULES) - {module}
    hint = did_you_mean(str(name), list(tasks)) or f'; the tasks are {", ".join(tasks)}'
    raise UserError(
      f'config.task: {module} has no task {name!r}{hint}; python -m {other} has others'
    )
  return tasks[name]


def _check(config: flags.FlagHolder, workdir: flags.FlagHolder, rest: list[str]) -> None:
  if not config.value:
    raise UserError(
      f'--{config.name} is required; try --config=configs/extremal.py --workdir=runs/extremal, '
      'or --help'
    )
  name = pathlib.Path(_check_file(config)).stem
  if not workdir.value:
    raise UserError(f'--{workdir.name} is required; try --workdir=runs/{name}, or --help')
  if PROCESSES.value > 1 and not COORDINATOR.value:
    raise UserError('--processes needs --coordinator=host:port, that of process 0')
  if PROCESS.value >= PROCESSES.value:
    raise UserError(f'--process={PROCESS.value} is one of 0 to {PROCESSES.value - 1}')
  if rest:
    raise UserError(f'{rest[0]!r} is not understood; a flag is written --name=value')


def _check_file(config: flags.FlagHolder) -> str:
  """The path of the config, which is there and has been read."""
  path = config_flags.get_config_filename(flags.FLAGS[config.name]).split(':')[0]
  if not os.path.isfile(path):
    known = [file.stem for file in text.config_files()]
    hint = (
      did_you_mean(pathlib.Path(path).stem, known, limit=2) or '; --help lists those of configs/'
    )
    if (text.ROOT / path).is_file():
      hint = f'; it is in {text.ROOT}, where commands start'
    raise UserError(f'--config={path}: no such file{hint}')
  config.value.lock()  # Reading a config that failed to load says why.
  return path


def _options_in(argv: list[str]) -> tuple[list[str], dict[str, str]]:
  """(the other arguments, dotted name -> text of `--config.options.rise.masks=4000` and the like).

  These are the options of methods and the settings of solvers: a config names some of them, and
  the task knows them all.
  """
  found = {
    i: re.fullmatch(r'--config\.((?:options|settings)\..+?)=(.*)', argument, re.DOTALL)
    for i, argument in enumerate(argv)
  }
  rest = [argument for i, argument in enumerate(argv) if not found[i]]
  return rest, {match[1]: match[2] for match in found.values() if match}


def _set_options(config: ConfigDict | None, options: Mapping[str, str]) -> None:
  """Sets options by their dotted names; their texts are read as Python's literals, or as texts."""
  for name, value in options.items():
    *path, last = name.split('.')
    if config is None or path[0] not in config:
      raise UserError(f'the config has no field {path[0]!r}')
    here = config
    with config.unlocked(), config.ignore_type():
      for part in path:
        if part not in here:
          here[part] = ConfigDict()
        here = here[part]
        if not isinstance(here, ConfigDict):
          raise UserError(f'--config.{name}: {part} has a value and no options')
      here[last] = _literal(value)


def _literal(text: str) -> Any:
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError):
    return text


def parser(
  config: flags.FlagHolder, workdir: flags.FlagHolder, module: str
) -> Callable[[list[str]], list[str]]:
  """A `flags_parser` for absl's `app.run` that ends with one line, and no trace, on a mistake."""

  def parse(argv: list[str]) -> list[str]:
    argv, options = _options_in(argv)
    argv, helped = without_help(argv)
    sys.argv[:] = argv  # Where config_flags looks for fields.
    with in_one_line():
      if helped and not any(word.startswith('--config') for word in argv):
        groups = {title: flag_help(names) for title, names in GROUPS.items()}
        leave_with(text.page(COMMAND.format(module), groups))
      rest = flags.FLAGS(argv)
      _set_options(config.value, options)
      if helped:
        path = _check_file(config)
        leave_with(text.config_page(path, flatten(config.value.to_dict(), empty=True)))
      _check(config, workdir, rest[1:])
      return rest

  return parse


def start_jax() -> None:
  """Uses the compilation cache, quietly, and memory that is not given back."""
  import jax  # Here: it takes half a second.

  quiet()
  show_any_text()
  keep_freed_memory()
  if CACHE.value:
    jax.config.update('jax_compilation_cache_dir', CACHE.value)
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)


def leave_together() -> None:
  """Waits for what process 0 still writes: JAX ends all once one has waited 5 minutes to leave."""
  from perturb.run.devices import barrier

  barrier('the run is written')


def join_processes() -> None:
  """Joins the processes of a run, on one host or many, before any device is used.

  Raises:
    UserError: if they do not find each other.
  """
  import jax

  try:
    if PROCESSES.value > 1:
      jax.distributed.initialize(COORDINATOR.value, PROCESSES.value, PROCESS.value)
    elif DISTRIBUTED.value:
      jax.distributed.initialize()
  except (RuntimeError, ValueError) as error:
    line = ' '.join(str(error).split())
    raise UserError(f'the processes of the run cannot be joined: {line}') from error
