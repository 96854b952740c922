"""Dropouts and label smoothing: table 6 of the ICCVW 2019 paper on occlusions."""

from collections.abc import Iterator
from typing import Any

import ml_collections

from configs import train_imagenet


def get_config() -> ml_collections.ConfigDict:
  """As configs/train_imagenet.py; the runs differ from it as `sweep` says."""
  return train_imagenet.get_config()


def sweep() -> Iterator[dict[str, Any]]:
  """Three dropouts at five shares, and label smoothing, each without and with joint: 32 runs."""
  for joint in (False, True):
    for dropout in ('dropout', 'spatial_dropout'):
      for keep in (0.5, 0.6, 0.7, 0.8, 0.9):
        yield {'joint': joint, 'dropout': dropout, 'dropout_keep': keep}
    for keep in (0.75, 0.8, 0.85, 0.9, 0.95):
      yield {'joint': joint, 'dropout': 'drop_block', 'dropout_keep': keep}
    yield {'joint': joint, 'label_smoothing': 0.1}
