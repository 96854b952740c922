"""Command line: python -m perturb.main --config=configs/extremal.py --workdir=runs/extremal.

What it does is in what `perturb.tasks.registry` names, which notebooks and tests import.
"""

from perturb.command_line import start
from perturb.tasks.registry import TASKS

if __name__ == '__main__':
  start(TASKS)
