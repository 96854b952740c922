"""What is said of a checkpoint that cannot be read."""

from perturb.errors import UserError

_SHOWN = 80  # Characters of a name, or of a shape.
_SAID = 200  # Characters of what another library said.


class CheckpointError(UserError):
  """The file is not a checkpoint that can be read safely; the message says why."""


def shown(name: str) -> str:
  """A name from a file as a message may hold it: in quotes, on one line, not too long."""
  return repr(name[:_SHOWN]) + ('...' if len(name) > _SHOWN else '')


def in_a_line(error: Exception) -> str:
  """What another library said, on one line that is not too long."""
  text = ' '.join(str(error).split())[:_SAID]
  return ''.join(letter if letter.isprintable() else '?' for letter in text)


def shown_shape(shape: tuple[int, ...]) -> str:
  """A shape from a file as a message may hold it."""
  text = str(shape)
  return text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'
