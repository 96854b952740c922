"""Errors whose message is one line for the person who runs the command."""

from collections.abc import Sequence
import difflib


class UserError(ValueError):
  """Bad input: the message names the file, field or layer and what would be right."""


class MissingError(UserError, KeyError):
  """A name that a mapping does not have."""

  __str__ = Exception.__str__


class StorageError(UserError):
  """A file that cannot be written or read: a full disk, missing rights, damage."""


def did_you_mean(name: str, choices: list[str], *, limit: int = 5) -> str:
  """The near matches of a mistyped name, as the end of an error message."""
  lowered = {choice.lower(): choice for choice in choices}
  close = difflib.get_close_matches(name.lower(), lowered, n=limit, cutoff=0.5)
  near = [lowered[match] for match in close]
  near += [c for c in choices if name.lower() in c.lower() and c not in near]
  if not near:
    return ''
  return '; did you mean ' + ', '.join(repr(c) for c in near[:limit]) + '?'


def check_choice(field: str, value: str, allowed: Sequence[str]) -> None:
  """Raises a `UserError` that names the field if its value is not one of those allowed."""
  if value not in allowed:
    raise UserError(f'{field} must be one of {", ".join(allowed)}, not {value!r}')
