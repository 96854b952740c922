"""Where does a convolutional network look, and what is encoded inside it.

The names are those of `perturb.api`. They are loaded when the first of them is asked for: a command
that only has to say what is wrong with its flags does not wait for JAX.
"""

from typing import TYPE_CHECKING

from perturb.lazy import names_of

if TYPE_CHECKING:
  from perturb.api import *  # noqa: F403

__getattr__, __dir__ = names_of(__name__)
