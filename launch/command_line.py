"""What the commands of this package share: their flags, and one line for a mistake."""

from collections.abc import Callable
import sys

from absl import app, flags

from launch.sweep import Job, jobs_of
from perturb.errors import UserError
from perturb.usage.flags import flag_help, in_one_line, leave_with, own_flags, without_help
from perturb.usage.text import flag_lines

CONFIG = flags.DEFINE_string('config', '', 'A file of configs/ with get_config() and sweep().')
WORKDIR = flags.DEFINE_string('workdir', '', 'Folder of the sweep; each run has a folder in it.')
SET = flags.DEFINE_multi_string('set', [], 'field=value, for every run: --set=seed=1.')


def jobs_of_flags() -> list[Job]:
  """The runs that the command line asks for."""
  for flag in (CONFIG, WORKDIR):
    if not flag.value:
      example = '--config=configs/extremal_sweep.py --workdir=runs/sweep'
      raise UserError(f'--{flag.name} is required; try {example}')
  return jobs_of(CONFIG.value, WORKDIR.value, SET.value)


def main(function: Callable[[], int]) -> None:
  """Runs a command of this package; a mistake is one line."""

  def parse(argv: list[str]) -> list[str]:
    argv, helped = without_help(argv)
    with in_one_line():
      if helped:
        about = sys.modules['__main__'].__doc__ or ''
        leave_with('\n'.join([about.strip(), '', *flag_lines(flag_help(own_flags()))]))
      rest = flags.FLAGS(argv)
      if rest[1:]:
        raise UserError(f'{rest[1]!r} is not understood; a flag is written --name=value')
      return rest

  def run(_: list[str]) -> None:
    try:
      sys.exit(function())
    except UserError as error:
      raise SystemExit(f'error: {error}') from error

  app.run(run, flags_parser=parse)
