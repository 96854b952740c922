"""A sweep of the fast solver: how many steps, and how much a seed matters."""

from collections.abc import Iterator
from typing import Any

import ml_collections

from configs import extremal


def get_config() -> ml_collections.ConfigDict:
  """As configs/extremal.py."""
  return extremal.get_config()


def sweep() -> Iterator[dict[str, Any]]:
  """The fields that set each run apart; nested ones by dotted names."""
  for iterations in (10, 25, 50, 100):
    for seed in (0, 1):
      yield {'settings.iterations': iterations, 'seed': seed}
