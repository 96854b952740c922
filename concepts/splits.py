"""Which pictures of a probe dataset are for training, by a hash of their names or as said."""

import hashlib

import numpy as np

from perturb.errors import UserError

TRAINED = 0.7  # The share for training.


def hash_fraction(path: str) -> float:
  """Where a path is in [0, 1): the first 8 bytes of its MD5, as in BRODEN.

  `dtd/g_0106.jpg` is at .4327.
  """
  digest = hashlib.md5(path.encode('utf-8', 'surrogateescape'), usedforsecurity=False).digest()
  return int.from_bytes(digest[:8], 'big') / 2**64


def is_trained(path: str) -> bool:
  """Whether a picture is for training by the hash of its path, as in BRODEN."""
  return hash_fraction(path) <= TRAINED


def check_both(train: np.ndarray, place: str) -> None:
  """Refuses a dataset `[N]` of which all is for training, or nothing is.

  Raises:
    UserError: names the split that is empty.
  """
  for name, some in (('train', train), ('val', ~train)):
    if not some.any():
      raise UserError(f'{place}: the split {name!r} is empty; pictures of both splits are needed')
