"""Errors whose message is one line for the person who runs the command."""

from collections.abc import Sequence
import difflib
import re
import sys
import warnings

# Control characters, ends of lines, what turns the direction of writing, halves of pairs.
UNPRINTABLE = re.compile('[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]')


def printable(text: str) -> str:
  """A text in one line that does nothing to a terminal: `\\n` for the end of a line.

  A byte of a file's name that is no UTF-8 is shown as `\\xff`.
  """
  return UNPRINTABLE.sub(lambda found: _escaped(found[0]), decoded(text))


def decoded(text: str) -> str:
  """A file's name as UTF-8, whatever the locale has made of its bytes."""
  try:
    return text.encode('utf-8', 'surrogateescape').decode('utf-8', 'surrogateescape')
  except UnicodeEncodeError:  # Half of a pair, which no file's name has.
    return text


def _escaped(character: str) -> str:
  if '\udc80' <= character <= '\udcff':
    return f'\\x{ord(character) - 0xDC00:02x}'
  return character.encode('unicode_escape').decode()


class UserError(ValueError):
  """Bad input: the message names the file, field or layer and what would be right."""

  def __str__(self) -> str:
    return printable(Exception.__str__(self))


class MissingError(UserError, KeyError):
  """A name that a mapping does not have."""


class ImageError(UserError):
  """An image that cannot be used; the message names the file and says why."""


class StorageError(UserError):
  """A file that cannot be written or read: a full disk, missing rights, damage."""


class PerturbWarning(UserWarning):
  """Input that is probably not what was meant; the message says what would be."""


def warn(message: str) -> None:
  """Warns the nearest caller outside this package."""
  package, level, frame = __package__, 1, sys._getframe()
  while frame.f_back and frame.f_globals.get('__name__', '').split('.')[0] == package:
    frame, level = frame.f_back, level + 1
  warnings.warn(message, PerturbWarning, stacklevel=level)


def did_you_mean(name: str, choices: list[str], *, limit: int = 5) -> str:
  """The near matches of a mistyped name, as the end of an error message."""
  lowered = {choice.lower(): choice for choice in choices}
  word = re.compile(rf'\b{re.escape(name.lower())}\b')
  with_it = [choice for low, choice in lowered.items() if len(name) > 2 and word.search(low)]
  close = difflib.get_close_matches(name.lower(), lowered, n=limit, cutoff=0.5)
  near = list(dict.fromkeys([*with_it, *(lowered[match] for match in close)]))
  near += [c for c in choices if name.lower() in c.lower() and c not in near]
  if not near:
    return ''
  return '; did you mean ' + ', '.join(repr(c) for c in near[:limit]) + '?'


def check_choice(field: str, value: str, allowed: Sequence[str]) -> None:
  """Raises a `UserError` that names the field if its value is not one of those allowed."""
  if value not in allowed:
    raise UserError(f'{field} must be one of {", ".join(allowed)}, not {value!r}')
