"""Work that threads do ahead of the one who needs it, in order."""

import collections
from collections.abc import Callable, Generator, Iterable
import concurrent.futures
from typing import TypeVar

Item = TypeVar('Item')
Loaded = TypeVar('Loaded')


def load_ahead(
  load: Callable[[Item], Loaded], items: Iterable[Item], *, ahead: int, workers: int
) -> Generator[Loaded, None, None]:
  """`load(item)` of every item, in order.

  Args:
    load: called in one of the threads; an exception is raised where its item would have come.
    items: read as needed.
    ahead: how many are loaded, or being loaded, before they are asked for.
    workers: threads; they end when the generator is closed.
  """
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    waiting: collections.deque[concurrent.futures.Future[Loaded]] = collections.deque()
    try:
      for item in items:
        waiting.append(pool.submit(load, item))
        if len(waiting) > ahead:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      for future in waiting:
        future.cancel()
