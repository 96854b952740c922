"""Keeps the process's freed memory for its next use."""

import ctypes
import sys

# Of <malloc.h>.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_PAD = 64 * 2**20  # Bytes asked of the system at a time.


def keep_freed_memory() -> bool:
  """Asks the C library to keep what is freed instead of returning it to the system.

  On a CPU, a compiled call allocates its buffers and frees them at its end. The GNU C library maps
  large ones anew each time, and the system clears them, page by page, as they are first touched:
  up to a third of the time of a network's pass. Call it once, before the first computation, in a
  program of your own; the command lines do. The process then stays as large as it once was.

  Returns:
    Whether the C library took notice; it is the GNU one that does.
  """
  if not sys.platform.startswith('linux'):
    return False
  try:
    mallopt = ctypes.CDLL(None).mallopt
  except AttributeError:
    return False
  settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1, _M_TOP_PAD: _PAD, _M_ARENA_MAX: 1}
  return all(mallopt(name, value) == 1 for name, value in settings.items())
