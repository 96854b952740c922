"""Command line: python -m perturb.main --config=configs/extremal.py --workdir=runs/extremal.

Kept short: what it does is in `perturb.run`, which notebooks and tests import.
"""

import os
import pathlib
import sys

from absl import app, flags
import jax
from ml_collections import config_flags

from perturb.errors import UserError, did_you_mean
from perturb.run import run

CONFIG = config_flags.DEFINE_config_file('config', None, 'The experiment, e.g. configs/extremal.py.')
WORKDIR = flags.DEFINE_string('workdir', None, 'Folder for results, figures and the report.')
CACHE = flags.DEFINE_string(
    'compilation_cache', os.path.join(os.path.expanduser('~'), '.cache', 'perturb'),
    "Folder of JAX's compiled programs, so that the second start is quick; '' for none.")


def parse_flags(argv: list[str]) -> list[str]:
  """As absl's, with one line for a mistake instead of a trace."""
  try:
    rest = flags.FLAGS(argv)
    for flag in (CONFIG, WORKDIR):
      if not flag.value:
        raise UserError(f'--{flag.name} is required; try --config=configs/extremal.py '
                        '--workdir=runs/extremal')
    if len(rest) > 1:
      raise UserError(f'{rest[1]!r} is not understood; a flag is written --name=value')
    return rest
  except AttributeError as error:  # An unknown field of the config.
    fields = list(getattr(error, 'obj', None) or [])
    name = str(getattr(error, 'name', None) or error)
    raise SystemExit(f'error: the config has no field {name!r}{did_you_mean(name, fields)}') from error
  except (UserError, flags.Error, OSError, TypeError, ValueError, KeyError) as error:
    lines = [line for line in str(error).splitlines() if line.strip()]
    raise SystemExit(f'error: {lines[0] if lines else error!r}') from error


def main(_: list[str]) -> None:
  if CACHE.value:
    jax.config.update('jax_compilation_cache_dir', str(pathlib.Path(CACHE.value)))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)
  try:
    failed = run(CONFIG.value, WORKDIR.value)
  except UserError as error:
    raise SystemExit(f'error: {error}') from error
  sys.exit(1 if failed else 0)


if __name__ == '__main__':
  app.run(main, flags_parser=parse_flags)
