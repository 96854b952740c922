"""What is encoded inside a convolutional network.

The names are those of `concepts.api`, which are loaded when the first of them is asked for.
"""

from typing import TYPE_CHECKING

from perturb.lazy import names_of

if TYPE_CHECKING:
  from concepts.api import *  # noqa: F403

__getattr__, __dir__ = names_of(__name__)
