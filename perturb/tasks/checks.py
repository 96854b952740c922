"""What can be refused of a config before any work is done."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import ml_collections
import numpy as np

from perturb.data.images import Fit
from perturb.errors import UserError, check_choice
from perturb.methods.registry import check_options, method_named
from perturb.run.subjects import options_of

# What another start of a run may change.
FREE = ('images', 'split', 'data_dir', 'workers', 'figures')


def check_run(config: ml_collections.ConfigDict, fits: Sequence[str] = get_args(Fit)) -> None:
  """Refuses wrong values of the fields that every run has.

  Args:
    config: of the run.
    fits: what its `fit` may be.
  """
  check_choice('config.fit', config.fit, fits)
  check_least(config, batch=0, workers=1, figures=0)


def check_least(config: ml_collections.ConfigDict, **fields: float) -> None:
  """Refuses fields that are less than so much."""
  for name, least in fields.items():
    if config[name] < least:
      raise UserError(f'config.{name} must be at least {least}, not {config[name]}')


def check_methods(
  config: ml_collections.ConfigDict, fits: Sequence[str] = ('crop', 'squash')
) -> None:
  """Refuses wrong values of the fields of runs with several methods: `methods` and `options`.

  Args:
    config: of the run.
    fits: what its `fit` may be.
  """
  check_run(config, fits)
  if not config.methods:
    raise UserError('config.methods: give at least one')
  twice = [method for method in config.methods if list(config.methods).count(method) > 1]
  if twice:
    raise UserError(f'config.methods names {twice[0]!r} twice')
  for method, options in config.options.items():
    if not isinstance(options, ml_collections.ConfigDict):
      raise UserError(f'config.options.{method}: {options!r} is no option of a method')
  for method in config.methods:
    check_method(method, options_of(config, method))
  for method in config.options:
    method_named(method)


def check_method(method: str, options: Mapping[str, Any]) -> None:
  """Refuses a method that is not known, or options that it does not take.

  The references of `expected_gradients` are pictures that `config.references` names.
  """
  given = {'references': np.zeros(0)} if method == 'expected_gradients' else {}
  check_options(method, {**options, **given})


def check_one_method(config: ml_collections.ConfigDict) -> str:
  """`check_methods` where there is to be one; returns it."""
  check_methods(config)
  if len(config.methods) != 1:
    raise UserError(f'config.methods: give one, not {len(config.methods)}')
  return config.methods[0]
