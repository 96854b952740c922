"""Where does a convolutional network look, and what is encoded inside it."""

from perturb import nets
from perturb.errors import UserError
from perturb.extremal import (
  ExtremalResult,
  extremal_perturbation,
  is_monotonic,
  kept_fraction,
  smallest_area,
)
from perturb.memory import keep_freed_memory

__all__ = [
  'ExtremalResult',
  'UserError',
  'extremal_perturbation',
  'is_monotonic',
  'keep_freed_memory',
  'kept_fraction',
  'nets',
  'smallest_area',
]
