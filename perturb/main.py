"""Command line: python -m perturb.main --config=configs/extremal.py --workdir=runs/extremal.

Kept short: what it does is in what `perturb.tasks` names, which notebooks and tests import.
"""

import sys

from absl import app, flags
from ml_collections import config_flags

from perturb.command_line import join_processes, parser, start_jax
from perturb.errors import UserError, check_choice
from perturb.tasks.registry import TASKS

CONFIG = config_flags.DEFINE_config_file('config', None, 'The experiment: configs/extremal.py, ...')
WORKDIR = flags.DEFINE_string('workdir', None, 'Folder for results, figures and the report.')


def main(_: list[str]) -> None:
  start_jax()
  try:
    join_processes()
    check_choice('config.task', CONFIG.value.task, list(TASKS))
    failed = TASKS[CONFIG.value.task](CONFIG.value, str(WORKDIR.value))
  except UserError as error:
    raise SystemExit(f'error: {error}') from error
  sys.exit(1 if failed else 0)


if __name__ == '__main__':
  app.run(main, flags_parser=parser(CONFIG, WORKDIR))
