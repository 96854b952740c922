"""Command line: python -m concepts.main --config=configs/relevant.py --workdir=runs/relevant.

What it does is in what `concepts.tasks.registry` names, which notebooks and tests import.
"""

from collections.abc import Mapping

from perturb.command_line import Task, start


def tasks() -> Mapping[str, Task]:
  """Every task by name. They are imported here, after the flags have been checked."""
  from concepts.tasks.registry import TASKS

  return TASKS


if __name__ == '__main__':
  start(tasks, 'concepts.main')
