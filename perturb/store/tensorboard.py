"""Figures of a run over time, as files that TensorBoard reads."""

import pathlib
import resource
import sys
import time

import jax
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.summary import scalar

from perturb.errors import StorageError


class Metrics:
  """Writes scalars to a new event file of a folder.

  Written at once and in this thread, so that a full disk is an error here.

  Args:
    folder: made if missing; TensorBoard joins the files of several starts.

  Raises:
    StorageError: if it cannot be written.
  """

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    self._writer: EventsWriter | None = None

  def write(self, step: int, **values: float) -> None:
    """Scalars by name, at a step."""
    try:
      if self._writer is None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventsWriter(str(self.folder / 'events'), f'.{jax.process_index()}')
      for name, value in values.items():
        self._writer.write_event(
          Event(wall_time=time.time(), step=step, summary=scalar(name, value))
        )
      self._writer.flush()
    except OSError as error:
      raise StorageError(f'{self.folder}: cannot be written ({error.strerror})') from error


def peak_memory() -> int:
  """Bytes in use at most so far: of the fullest device, or of the process where that is a CPU."""
  peaks = [
    (device.memory_stats() or {}).get('peak_bytes_in_use', 0) for device in jax.local_devices()
  ]
  unit = 1 if sys.platform == 'darwin' else 1024
  return max(peaks) or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
