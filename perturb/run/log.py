"""What a run reports while it goes on: its progress, its failures and its speed."""

import pathlib

import jax

from perturb.console import Progress
from perturb.run.experiment import Step
from perturb.store.failures import Failures
from perturb.store.tensorboard import Metrics, peak_memory


class Log:
  """The reports of one start of a run, of this process.

  Args:
    workdir: of the run.
    unit: what is counted, in the singular.

  Attributes:
    failures: what has failed.
    stored: results that were there at the start.
    computed: results that were added since.
    compile_seconds: what compilation took.
    waiting: seconds that the devices waited for pictures.

  Raises:
    StorageError: if the workdir cannot be written.
  """

  def __init__(self, workdir: pathlib.Path, unit: str):
    self.failures = Failures(workdir)
    self.stored = self.computed = 0
    self.compile_seconds = self.waiting = 0.0
    self._metrics = Metrics(workdir / 'metrics')
    self._progress = Progress(None, unit)

  def begin(self, stored: int, missing: int) -> None:
    """Says how many results there are, and how many this process is to add."""
    self.stored = stored
    self._progress.expect(missing)

  def fail(self, name: str, place: str, reason: str, step: str = '') -> None:
    """Names what has failed, on stderr and in `failures.csv`."""
    self.failures.add(name, place, reason, step)
    self._progress.say(f'error: {step}: {reason}' if step else f'error: {reason}')

  def advance(self, count: int) -> None:
    """So many results were tried, whether they failed or not."""
    self._progress.advance(count)

  def computed_some(self, step: Step, count: int, seconds: float, compile_seconds: float) -> None:
    """Some results of a step are stored.

    Args:
      step: of which.
      count: how many.
      seconds: what they took, without compilation.
      compile_seconds: what compilation took.
    """
    self.computed += count
    self.compile_seconds += compile_seconds
    self._progress.leave_out(compile_seconds)
    if count and jax.process_index() == 0:
      processes = jax.process_count()
      self._metrics.write(
        self.stored + self.computed * processes,
        **{step.stored('images_per_second'): count * processes / seconds},
        seconds_waiting_for_pictures=self.waiting,
        compile_seconds=self.compile_seconds,
        peak_memory_bytes=peak_memory(),
        failed=self.failures.count,
      )

  def close(self) -> None:
    """Takes the bar away."""
    self._progress.close()
