"""Arrays that a resumed run does not compute again, a file each."""

from collections.abc import Callable
import pathlib

import numpy as np

from perturb.errors import UserError
from perturb.store import files


def kept(path: pathlib.Path, make: Callable[[], np.ndarray]) -> np.ndarray:
  """The array of a `.npy` file, which is made and written first if the file is not there.

  Args:
    path: of the file; its folders are made.
    make: gives the array; it is written whole or not at all.

  Raises:
    UserError: for a file that cannot be read.
    StorageError: if it cannot be written.
  """
  if path.exists():
    try:
      return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
      raise UserError(f'{path}: a damaged file; remove it, and it is made again') from error
  array = np.asarray(make())
  path.parent.mkdir(parents=True, exist_ok=True)
  files.write_atomically(path, files.npy_bytes(array))
  return array
