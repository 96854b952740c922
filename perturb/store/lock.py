"""One run at a time in a workdir: a lock of the operating system, which ends with its process."""

import contextlib
import errno
import importlib
import os
import pathlib
import socket
import sys
import time
import weakref

from perturb.errors import UserError

NAME = '.lock'
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


class Lock:
  """A workdir that is this process's, until the last reference to this object is gone.

  Args:
    descriptor: of the open file that is locked; it is closed in the end.
  """

  def __init__(self, descriptor: int):
    self.release = weakref.finalize(self, _release, descriptor, os.getpid())


_held: weakref.WeakValueDictionary[tuple[int, int], Lock] = weakref.WeakValueDictionary()


def hold(workdir: pathlib.Path) -> Lock:
  """Takes a workdir for this process, which may take it several times.

  The file `.lock` says who has it; it is empty when nobody has. What is locked is the open file, so
  that nothing is left of the lock when the process is killed. On a disk without locks, as some
  network disks and Windows are, nothing is locked, and a line on stderr says so.

  Raises:
    UserError: if another process has it; or if the file cannot be written.
  """
  try:
    descriptor = os.open(workdir / NAME, os.O_RDWR | os.O_CREAT, 0o666)
  except OSError as error:
    raise UserError(f'workdir {workdir}: cannot be written ({error.strerror})') from error
  found = os.fstat(descriptor)
  mine = _held.get((found.st_dev, found.st_ino))
  if mine is not None:
    os.close(descriptor)
    return mine
  try:
    _flock(descriptor)
  except OSError as error:
    if error.errno not in _NO_LOCKS:
      holder = os.pread(descriptor, 1000, 0).decode(errors='replace')
      os.close(descriptor)
      raise UserError(
        f'workdir {workdir} is in use by {holder or "another process"}; wait until it ends, or use '
        'another workdir'
      ) from error
    os.close(descriptor)
    print(f'warning: {workdir}: a second run there is not noticed ({error})', file=sys.stderr)
    return Lock(os.open(os.devnull, os.O_RDONLY))
  _describe(descriptor)
  lock = Lock(descriptor)
  _held[found.st_dev, found.st_ino] = lock
  return lock


def _flock(descriptor: int) -> None:
  try:
    fcntl = importlib.import_module('fcntl')
  except ImportError as error:  # Windows has none.
    raise OSError(errno.ENOSYS, 'no locks here') from error
  fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _describe(descriptor: int) -> None:
  since = time.strftime('%Y-%m-%d %H:%M:%S %z')
  with contextlib.suppress(OSError):  # A full disk is no reason; the lock is there.
    os.ftruncate(descriptor, 0)
    who = f'process {os.getpid()} on {socket.gethostname()} since {since}'
    os.pwrite(descriptor, who.encode(), 0)


def _release(descriptor: int, process: int) -> None:
  if os.getpid() == process:  # And no fork of it.
    with contextlib.suppress(OSError):
      os.ftruncate(descriptor, 0)
  os.close(descriptor)
