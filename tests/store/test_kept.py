"""Arrays that are made once."""

import numpy as np
import pytest

from perturb.errors import UserError
from perturb.store.kept import kept


def test_an_array_is_made_once_and_a_damaged_one_is_refused(tmp_path):
  path, made = tmp_path / 'some' / 'folder' / '0.npy', []

  def make():
    made.append(1)
    return np.arange(3.0) + len(made)

  np.testing.assert_array_equal(kept(path, make), [1, 2, 3])
  np.testing.assert_array_equal(kept(path, make), [1, 2, 3])
  assert made == [1] and [p.name for p in path.parent.iterdir()] == ['0.npy']
  for damaged in (path.read_bytes()[:-3], b'', b'no array'):
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r'0\.npy: a damaged file; remove it'):
      kept(path, make)
  path.unlink()
  np.testing.assert_array_equal(kept(path, make), [2, 3, 4])


def test_what_is_not_made_leaves_no_file(tmp_path):
  def fails():
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    kept(tmp_path / '0.npy', fails)
  assert list(tmp_path.iterdir()) == []
