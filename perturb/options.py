"""The options of a function by its signature: their names, their types, a line for a mistake."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
import inspect
import math
import types
from typing import (
  Annotated,
  Any,
  Literal,
  NamedTuple,
  ParamSpec,
  TypeVar,
  Union,
  get_args,
  get_origin,
)
from typing import get_type_hints as hints_of

import jax
import numpy as np

from perturb.errors import UserError, did_you_mean

P = ParamSpec('P')
R = TypeVar('R')
S = TypeVar('S')  # Settings: a dataclass.
_NUMBERS: dict[type, tuple[type, ...]] = {
  bool: (bool, np.bool_),
  int: (int, np.integer),
  float: (int, float, np.integer, np.floating),
}


@dataclasses.dataclass(frozen=True)
class Bounds:
  """Which numbers a type allows: from `least`, or above it, up to `most`, or below it."""

  least: float = -math.inf
  most: float = math.inf
  above: bool = False
  below: bool = False

  def __contains__(self, value: Any) -> bool:
    if isinstance(value, jax.core.Tracer):  # Nothing is known of its value.
      return True
    enough = value > self.least if self.above else value >= self.least
    return bool(enough and (value < self.most if self.below else value <= self.most))

  def __str__(self) -> str:
    parts = []
    if self.least > -math.inf:
      parts.append(f'{"above" if self.above else "at least"} {self.least:g}')
    if self.most < math.inf:
      parts.append(f'{"below" if self.below else "at most"} {self.most:g}')
    return ' and '.join(parts)


_FINITE = {'most': math.inf, 'below': True}
Count = Annotated[int, Bounds(1)]
Natural = Annotated[int, Bounds(0)]
Positive = Annotated[float, Bounds(0, above=True, **_FINITE)]
NotNegative = Annotated[float, Bounds(0, **_FINITE)]
Share = Annotated[float, Bounds(0, 1, above=True)]
Inside = Annotated[float, Bounds(0, 1, above=True, below=True)]


class Option(NamedTuple):
  """An argument that a caller may name.

  Attributes:
    hint: its type, as annotated.
    needed: whether it must be given.
  """

  hint: Any
  needed: bool


def options_of(function: Any, first: int = 3) -> dict[str, Option]:
  """The options of a function after its first parameters, by name."""
  return dict(_options_of(function, first))


@functools.lru_cache(maxsize=256)
def _options_of(function: Any, first: int) -> dict[str, Option]:
  hints = hints_of(inspect.unwrap(function), include_extras=True)
  parameters = list(inspect.signature(function).parameters.values())[first:]
  return {
    p.name: Option(hints.get(p.name, Any), p.default is inspect.Parameter.empty)
    for p in parameters
    if p.kind is not inspect.Parameter.VAR_KEYWORD
  }


def fits(value: Any, hint: Any) -> bool:
  """Whether a value is of a type; whatever is no plain type is left to the function itself."""
  if hint is None or hint is type(None):
    return value is None
  origin, arguments = get_origin(hint), get_args(hint)
  if origin is Annotated:
    return fits(value, arguments[0]) and value in arguments[1]
  if origin in (Union, types.UnionType):
    return any(fits(value, one) for one in arguments)
  if origin is Literal:
    return isinstance(value, str) and value in arguments
  if hint in _NUMBERS:
    if isinstance(value, jax.Array | np.ndarray):
      kinds = {bool: np.bool_, int: np.integer}.get(hint, np.number)
      return value.ndim == 0 and jax.numpy.issubdtype(value.dtype, kinds)
    return isinstance(value, _NUMBERS[hint]) and (hint is bool or not isinstance(value, bool))
  if hint is str:
    return isinstance(value, str)
  if origin is not None and isinstance(origin, type) and issubclass(origin, Sequence):
    several = isinstance(value, list | tuple | range | np.ndarray | jax.Array)
    return several and all(fits(one, arguments[0]) for one in value)
  return not isinstance(value, str)


def describe(hint: Any) -> str:
  """A type in words: 'a whole number', 'one of blur, fade'."""
  words = {bool: 'True or False', int: 'a whole number', float: 'a number', str: 'a text'}
  origin, arguments = get_origin(hint), get_args(hint)
  if origin is Annotated:
    return f'{describe(arguments[0])}, {arguments[1]}'
  if hint in words:
    return words[hint]
  if hint is None or hint is type(None):
    return 'None'
  if origin in (Union, types.UnionType):
    return ' or '.join(dict.fromkeys(map(describe, arguments)))
  if origin is Literal:
    return f'one of {", ".join(arguments)}'
  if origin is not None and isinstance(origin, type) and issubclass(origin, Sequence):
    return f'a sequence, each {describe(arguments[0])}'
  return 'an array' if hint in (jax.Array, np.ndarray) else getattr(hint, '__name__', str(hint))


def check_options(
  owner: str, known: Mapping[str, Option], given: Mapping[str, Any], noun: str = 'option'
) -> None:
  """Refuses options that are not known, or of another type, or lacking.

  Args:
    owner: whose options, as a message names it.
    known: these options.
    given: option -> value.
    noun: what they are called.

  Raises:
    UserError: names the first one and what would be right.
  """
  for name, value in given.items():
    if name not in known:
      hint = did_you_mean(name, list(known)) or f'; it has {", ".join(known)}'
      raise UserError(f'{owner} has no {noun} {name!r}{hint}')
    if not fits(value, known[name].hint):
      raise UserError(f'{owner}: {name} must be {describe(known[name].hint)}, not {value!r}')
  for name, option in known.items():
    if option.needed and name not in given:
      raise UserError(f'{owner} needs the {noun} {name!r}')


def setting_options(settings: Any) -> dict[str, Option]:
  """The fields of a dataclass of settings as options, none of them needed."""
  return {f.name: Option(f.type, needed=False) for f in dataclasses.fields(settings)}


def settings_of(modes: Mapping[str, S], mode: str, overrides: Mapping[str, Any]) -> S:
  """The settings of a mode with some of them changed.

  Args:
    modes: name -> a frozen dataclass with the defaults.
    mode: one of these names.
    overrides: setting -> value.

  Raises:
    UserError: for an unknown mode or setting, with its near matches.
  """
  if mode not in modes:
    hint = did_you_mean(mode, list(modes)) or f'; the modes are {", ".join(modes)}'
    raise UserError(f'mode {mode!r} is not known{hint}')
  check_options(f'mode {mode!r}', setting_options(modes[mode]), overrides, 'setting')
  settings: Any = modes[mode]
  return dataclasses.replace(settings, **overrides)


def checked(function: Callable[P, R], first: int = 3) -> Callable[P, R]:
  """A method that refuses options of another type in a line, before it computes anything.

  Args:
    function: the method.
    first: how many arguments come before its options.
  """

  @functools.wraps(function)
  def call(*arguments: P.args, **options: P.kwargs) -> R:
    known = _options_of(function, first)
    given = {**dict(zip(known, arguments[first:], strict=False)), **options}
    for name in options:
      if not _takes(function, name):
        hint = did_you_mean(name, list(known)) or f'; it has {", ".join(known)}'
        raise UserError(f'{function.__name__} has no option {name!r}{hint}')
    for name, value in given.items():
      if name in known and not fits(value, known[name].hint):
        what = describe(known[name].hint)
        raise UserError(f'{function.__name__}: {name} must be {what}, not {value!r}')
    plain: Any = {name: _plain(value, known.get(name)) for name, value in options.items()}
    return function(*arguments, **plain)

  return call


@functools.lru_cache(maxsize=1024)
def _takes(function: Any, name: str) -> bool:
  parameters = inspect.signature(function).parameters
  return name in parameters or any(
    p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()
  )


def _plain(value: Any, option: Option | None) -> Any:
  """A number that was given as an array without axes, as a number, where no array is meant."""
  scalar = isinstance(value, jax.Array | np.ndarray) and value.ndim == 0
  if option is None or not scalar or isinstance(value, jax.core.Tracer) or _is_array(option.hint):
    return value
  return value.item() if jax.numpy.issubdtype(value.dtype, np.number) else value


def _is_array(hint: Any) -> bool:
  return hint in (jax.Array, np.ndarray) or any(map(_is_array, get_args(hint)))
