"""What could not be computed, and why: `failures.csv`, a line as soon as it is known."""

import pathlib

import jax

from perturb.errors import StorageError
from perturb.store import files

HEADER = ('image', 'place', 'method', 'reason')


class Failures:
  """The failures of one start of a run; a new start tries again.

  Each process writes a file of its own; at the end they become one.

  Args:
    workdir: of the run.

  Raises:
    StorageError: if it cannot be written.
  """

  def __init__(self, workdir: pathlib.Path):
    self.workdir = workdir
    self.path = self._path(jax.process_index())
    self.count = 0
    try:
      if jax.process_index() == 0:
        for path in workdir.glob('failures*.csv'):
          path.unlink(missing_ok=True)
    except OSError as error:
      raise StorageError(f'{workdir}: cannot be written ({error.strerror})') from error

  def _path(self, process: int) -> pathlib.Path:
    return self.workdir / ('failures.csv' if process == 0 else f'failures-{process}.csv')

  def add(self, name: str, place: str, reason: str, method: str = '') -> None:
    """Writes a line.

    Args:
      name: of the image; '' for an item that names none.
      place: its file, or record.
      reason: a line.
      method: which could not be computed; '' where the image itself has failed.
    """
    try:
      rows = [HEADER, (name, place, method, reason)][self.count > 0 :]
      with open(self.path, 'a', newline='', encoding='utf-8') as file:
        file.write(files.table_text(rows))
    except OSError as error:
      raise StorageError(f'{self.path}: cannot be written ({error.strerror})') from error
    self.count += 1

  def join(self) -> list[tuple[str, ...]]:
    """Makes one file of those of all processes, once they are done; returns its rows."""
    rows: list[tuple[str, ...]] = []
    for process in range(jax.process_count()):
      path = self._path(process)
      if path.exists():
        rows += files.read_table(path)
        path.unlink()
    if rows:
      files.write_table(self._path(0), HEADER, rows)
    return rows
