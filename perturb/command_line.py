"""What the entry points share: flags with one line for a mistake, and the compilation cache."""

from collections.abc import Callable
import logging
import os
import re

from absl import flags
import jax
from ml_collections import config_flags

from perturb.errors import UserError
from perturb.memory import keep_freed_memory

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


def _check(config: flags.FlagHolder, workdir: flags.FlagHolder, rest: list[str]) -> None:
  for flag in (config, workdir):
    if not flag.value:
      raise UserError(
        f'--{flag.name} is required; try --config=configs/extremal.py --workdir=runs/extremal'
      )
  path = config_flags.get_config_filename(flags.FLAGS[config.name]).split(':')[0]
  if not os.path.isfile(path):
    raise UserError(f'--config={path}: no such file')
  config.value.lock()  # Reading a config that failed to load says why.
  if PROCESSES.value > 1 and not COORDINATOR.value:
    raise UserError('--processes needs --coordinator=host:port, that of process 0')
  if PROCESS.value >= PROCESSES.value:
    raise UserError(f'--process={PROCESS.value} is one of 0 to {PROCESSES.value - 1}')
  if rest:
    raise UserError(f'{rest[0]!r} is not understood; a flag is written --name=value')


def parser(config: flags.FlagHolder, workdir: flags.FlagHolder) -> Callable[[list[str]], list[str]]:
  """A `flags_parser` for absl's `app.run` that ends with one line, and no trace, on a mistake."""

  def parse(argv: list[str]) -> list[str]:
    try:
      rest = flags.FLAGS(argv)
      _check(config, workdir, rest[1:])
      return rest
    except AttributeError as error:  # An unknown field: «'area'\nDid you mean "areas" ...».
      name, *near = re.findall(r'\w+(?=\\*["\'])', str(error))
      hint = f'; did you mean {near[0]!r}?' if near else ''
      raise SystemExit(f'error: the config has no field {name!r}{hint}') from error
    except (UserError, flags.Error, OSError, TypeError, ValueError, KeyError) as error:
      line = ' '.join(str(error).strip('"').split())
      raise SystemExit(f'error: {line}') from error

  return parse


def quiet() -> None:
  """Keeps libraries from reporting what went well, and accelerators that are not there."""
  for name in ('absl', 'jax._src.distributed', 'jax._src.xla_bridge', 'orbax'):
    logging.getLogger(name).setLevel(logging.WARNING)


def start_jax() -> None:
  """Uses the compilation cache, quietly, and memory that is not given back."""
  quiet()
  keep_freed_memory()
  if CACHE.value:
    jax.config.update('jax_compilation_cache_dir', CACHE.value)
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)


def join_processes() -> None:
  """Joins the processes of a run, on one host or many, before any device is used.

  Raises:
    UserError: if they do not find each other.
  """
  try:
    if PROCESSES.value > 1:
      jax.distributed.initialize(COORDINATOR.value, PROCESSES.value, PROCESS.value)
    elif DISTRIBUTED.value:
      jax.distributed.initialize()
  except (RuntimeError, ValueError) as error:
    line = ' '.join(str(error).split())
    raise UserError(f'the processes of the run cannot be joined: {line}') from error
