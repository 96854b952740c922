"""Errors whose message is one line for the person who runs the command."""

import difflib


class UserError(ValueError):
  """Bad input: the message names the file, field or layer and what would be right."""


def did_you_mean(name: str, choices: list[str], *, limit: int = 5) -> str:
  """The near matches of a mistyped name, as the end of an error message."""
  lowered = {choice.lower(): choice for choice in choices}
  close = difflib.get_close_matches(name.lower(), lowered, n=limit, cutoff=0.5)
  near = [lowered[match] for match in close]
  near += [c for c in choices if name.lower() in c.lower() and c not in near]
  if not near:
    return ''
  return '; did you mean ' + ', '.join(repr(c) for c in near[:limit]) + '?'
