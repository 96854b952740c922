"""The last words of a run: `summary.json`, and what is printed."""

from collections.abc import Mapping, Sequence
import json
from typing import Any

import jax

from perturb.console import duration, percent
from perturb.run.loop import Outcome
from perturb.store.workdir import Workdir


def sum_up(workdir: Workdir, outcome: Outcome, rows: Sequence[Mapping[str, Any]] = ()) -> int:
  """Writes and prints what a run has come to; process 0 does.

  Args:
    workdir: of the run.
    outcome: of the run.
    rows: means over the images, for `summary.json`.

  Returns:
    The number of failures, each of which has been named on stderr.
  """
  if jax.process_index() == 0:
    done = len(outcome.done())
    summary = {'images': outcome.asked, 'done': done, 'failed': outcome.failed, 'rows': rows}
    workdir.write('summary.json', json.dumps(summary, indent=2) + '\n')
    partly = done - len(outcome.done(*outcome.status))
    by = f', {partly} of them not by every method' if partly else ''
    print(f'\n{done} of {outcome.asked} explained{by}; see {workdir.path}')
    if outcome.computed:
      _print_speed(outcome)
  return outcome.failed


def _print_speed(outcome: Outcome) -> None:
  steady = outcome.seconds - outcome.compile_seconds
  here = ' in this process' if jax.process_count() > 1 else ''
  unit = 'images' if len(outcome.status) == 1 else 'results'
  took, compiling = duration(outcome.seconds), duration(outcome.compile_seconds)
  print(
    f'{outcome.computed}{here} in {took}, {compiling} of them compilation; '
    f'{outcome.computed / steady:.3g} {unit}/s; '
    f'{percent(outcome.waiting / steady)} of the time waiting for pictures'
  )
