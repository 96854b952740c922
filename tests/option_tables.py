"""Writes the tables of docs/options.md: python -m tests.option_tables.

They are made of signatures and docstrings. What stands above '## Methods' is written by hand.
"""

from collections.abc import Callable, Iterator, Mapping
import inspect
import itertools
import pathlib
import re
import sys
from typing import Any

from perturb.methods import channel_solvers, extremal_solvers
from perturb.methods.registry import METHODS, WRAPPERS, method_named
from perturb.options import Option, describe, options_of, setting_options

PATH = pathlib.Path(__file__).parent.parent / 'docs' / 'options.md'
WRAPPERS_HEAD = """
## Wrappers

They take the options of the method that is wrapped too.
"""
SETTINGS_HEAD = """
## Settings of the solvers

Of `extremal_perturbation`, for each `mode`. The extremal configs set them as
`--config.settings.iterations=100`, the other configs as
`--config.options.extremal_perturbation.iterations=100`.
"""

CHANNELS_HEAD = """
## Settings of channel attribution

Of `perturb.channel_attribution`, for each `mode`. Its configs set them as
`--config.settings.candidates=32`.
"""


def described(function: Any, part: str = 'Args') -> dict[str, str]:
  """Argument -> what a docstring says of it."""
  text = inspect.getdoc(function) or ''
  block = re.search(rf'^{part}:\n((?:  .*\n|\n)*)', text + '\n', re.MULTILINE)
  entries = re.findall(r'^  ([*\w, ]+): (.*(?:\n    .*)*)', block[1] if block else '', re.MULTILINE)
  return {
    name: re.sub(r'\s+', ' ', meaning) for names, meaning in entries for name in names.split(', ')
  }


def _functions_of(function: Callable[..., Any]) -> list[Callable[..., Any]]:
  """The method, then those of its module whose words may serve: those above it, the next first."""
  module = sys.modules[inspect.unwrap(function).__module__]
  members = inspect.getmembers(module, inspect.isroutine)
  public = [inspect.unwrap(one) for name, one in members if not name.startswith('_')]
  own = inspect.unwrap(function).__code__.co_firstlineno
  here = [one for one in public if one.__module__ == module.__name__]
  near = {one: own - one.__code__.co_firstlineno for one in here}
  return sorted((one for one in near if near[one] >= 0), key=near.__getitem__) + [
    one for one in near if near[one] < 0
  ]


def meaning(function: Callable[..., Any], option: str, default: Any) -> str:
  """What an option means; 'as in `other`' gives way to the words that are there."""
  functions = _functions_of(function)
  text = next((found[option] for one in functions if option in (found := described(one))), '')
  if not text:
    raise ValueError(f'{function.__name__}: no docstring says what {option} is')
  named = {one.__name__: one for one in functions}
  if other := re.match(r'as in `(\w+)`', text):
    text = described(named[other[1]])[option].rstrip('.') + text[other.end() :]
  if default is not None:  # Another default than that of the function whose words these are.
    text = re.sub(r'\. By default.*', '.', text)
  return sentence(text)


def sentence(text: str) -> str:
  """A text with a capital; a symbol such as x' or l1 stays as it is."""
  return text[0].upper() + text[1:] if re.match(r"(?!gamma)[a-z]+\b(?!')", text) else text


def row(name: str, option: Option, default: Any, text: str) -> str:
  """A line of a table."""
  kind = 'a whole number; in a notebook a PRNG key' if name == 'key' else describe(option.hint)
  shown = 'needed' if option.needed else f'`{default!r}`'
  cells = (f'`{name}`', kind, shown, text)
  return '| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |'


def table(owner: str, rows: list[str]) -> list[str]:
  """A heading and a table."""
  head = ['', f'### `{owner}`', '', '| option | type | default | meaning |', '|---|---|---|---|']
  return head + rows


def rows_of(function: Callable[..., Any], options: Mapping[str, Option]) -> list[str]:
  """The rows of a function's own options."""
  defaults = {name: one.default for name, one in inspect.signature(function).parameters.items()}
  return [
    row(name, option, defaults[name], meaning(function, name, defaults[name]))
    for name, option in options.items()
  ]


def settings_rows(settings: Any) -> list[str]:
  """The rows of a solver's settings."""
  texts = described(type(settings), 'Attributes')
  return [
    row(name, hint, getattr(settings, name), sentence(texts[name]))
    for name, hint in setting_options(settings).items()
  ]


def page() -> str:
  """The text of docs/options.md."""
  written, _, _ = PATH.read_text(encoding='utf-8').partition('## Methods')
  parts = (
    _methods(),
    [WRAPPERS_HEAD.rstrip()],
    _wrappers(),
    [SETTINGS_HEAD.rstrip()],
    _settings(extremal_solvers.MODES),
    [CHANNELS_HEAD.rstrip()],
    _settings(channel_solvers.MODES),
  )
  return '\n'.join([written + '## Methods', *itertools.chain(*parts), ''])


def _methods() -> Iterator[str]:
  for name, entry in METHODS.items():
    options = {n: o for n, o in method_named(name)[2].items() if n not in entry.more}
    yield from table(name, rows_of(entry.function, options))


def _wrappers() -> Iterator[str]:
  for name, (_, function) in WRAPPERS.items():
    yield from table(f'{name}:NAME', rows_of(function, options_of(function, 4)))


def _settings(modes: Mapping[str, Any]) -> Iterator[str]:
  for mode, settings in modes.items():
    yield from table(mode, settings_rows(settings))


if __name__ == '__main__':
  PATH.write_text(page(), encoding='utf-8')
