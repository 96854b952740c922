"""What the command lines share: help at once, and one line for a mistake."""

from collections.abc import Iterable, Iterator, Sequence
import contextlib
import os
import re
import sys
from typing import NoReturn

from absl import flags

from perturb.errors import UserError, did_you_mean

HELP = ('--help', '-help', '-h', '--h', '--helpshort', '--helpfull')
# Flags of absl's own, which no command of this package is about.
FOREIGN = ('absl.', 'tensorflow', 'jax', 'ml_collections')


def without_help(argv: Sequence[str]) -> tuple[list[str], bool]:
  """(the other arguments, whether help is asked for)."""
  rest = [word for word in argv if word not in HELP]
  return rest, len(rest) < len(argv)


def leave_with(page: str) -> NoReturn:
  """Prints a page of help and ends the process."""
  try:
    print(page, flush=True)
  except BrokenPipeError:  # `--help | head` has read enough; there is nothing left to flush.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
  raise SystemExit(0)


def own_flags() -> list[str]:
  """The flags of this package."""
  every = flags.FLAGS.flags_by_module_dict().items()
  return [flag.name for module, some in every if not module.startswith(FOREIGN) for flag in some]


def flag_help(names: Iterable[str]) -> dict[str, str]:
  """Flag -> its help, with the default if there is one."""
  found = {}
  for name in names:
    flag = flags.FLAGS[name]
    default = f' [{flag.default}]' if flag.default not in (None, '', [], False) else ''
    found[name] = ' '.join(f'{flag.help}{default}'.split())
  return found


@contextlib.contextmanager
def in_one_line() -> Iterator[None]:
  """Ends the process with one line, and no trace, for a mistake on the command line."""
  try:
    yield
  except AttributeError as error:
    if "no attribute 'get_config'" in str(error):
      line = 'error: the file of --config is no experiment: it has no get_config()'
      raise SystemExit(line) from error
    # An unknown field: «'area'\nDid you mean "areas" ...».
    name, *near = re.findall(r'\w+(?=\\*["\'])', str(error))
    hint = f'; did you mean {near[0]!r}?' if near else ''
    raise SystemExit(f'error: the config has no field {name!r}{hint}') from error
  except flags.UnrecognizedFlagError as error:
    close = did_you_mean(error.flagname, own_flags(), limit=1).replace("'", '')
    hint = close.replace('mean ', 'mean --') or '; --help lists the flags'
    raise SystemExit(f'error: there is no flag --{error.flagname}{hint}') from error
  except (UserError, flags.Error, OSError, TypeError, ValueError, KeyError) as error:
    line = ' '.join(str(error).strip('"').split())
    raise SystemExit(f'error: {line}') from error
