"""Where does a convolutional network look, and what is encoded inside it.

The names are those of `perturb.api`. They are loaded when the first of them is asked for: a command
that only has to say what is wrong with its flags does not wait for JAX.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from perturb.api import *  # noqa: F403


def __getattr__(name: str) -> Any:
  if name == '__all__' or not name.startswith('_'):
    module = f'{__name__}.{name}'
    if importlib.util.find_spec(module):
      return importlib.import_module(module)
    api = importlib.import_module(f'{__name__}.api')
    if hasattr(api, name):
      globals()[name] = getattr(api, name)  # The next time it is found without asking here.
      return globals()[name]
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
  return sorted({*globals(), *__getattr__('__all__')})
