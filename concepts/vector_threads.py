"""The vectors of a layer dealt out to the cores of a CPU: XLA runs a loop on one of them."""

from collections.abc import Callable
import concurrent.futures
import os
from typing import Any

import jax
import numpy as np


def in_threads(train: Callable[[np.ndarray], Any], work: np.ndarray) -> Any:
  """`train(rows)` of all R vectors, some of them in each thread; on an accelerator all in one.

  Args:
    train: trains the vectors of these indices, `[r]`; a pytree of `[r, ...]`.
    work: how long each takes, in any unit, `[R]`. The longest come first, so that the threads end
      at about one time, and what runs side by side does too.

  Returns:
    The pytree of `[R, ...]`, in NumPy.
  """
  threads = (os.cpu_count() or 1) if jax.default_backend() == 'cpu' else 1
  ranked = np.argsort(-np.asarray(work), kind='stable')
  shares = [ranked[first::threads] for first in range(min(threads, len(ranked)))]
  with concurrent.futures.ThreadPoolExecutor(len(shares)) as pool:
    found = list(pool.map(lambda rows: jax.device_get(train(rows)), shares))
  back = np.argsort(np.concatenate(shares))
  return jax.tree.map(lambda *parts: np.concatenate(parts)[back], *found)


def side_by_side() -> int | None:
  """How many vectors a program trains at once: on a CPU one after the other."""
  return None if jax.default_backend() == 'cpu' else 16
