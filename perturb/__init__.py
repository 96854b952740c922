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

__all__ = [
  'ExtremalResult',
  'UserError',
  'extremal_perturbation',
  'is_monotonic',
  'kept_fraction',
  'nets',
  'smallest_area',
]
