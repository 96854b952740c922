"""Names of a package that are loaded when the first of them is asked for."""

from collections.abc import Callable
import importlib
import importlib.util
import sys
from typing import Any


def names_of(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
  """`__getattr__` and `__dir__` of a package whose names are those of its module `api`."""

  def get(name: str) -> Any:
    if name == '__all__' or not name.startswith('_'):
      module = f'{package}.{name}'
      if importlib.util.find_spec(module):
        return importlib.import_module(module)
      api = importlib.import_module(f'{package}.api')
      if hasattr(api, name):
        value = getattr(api, name)
        setattr(sys.modules[package], name, value)  # The next time it is found without asking here.
        return value
    raise AttributeError(f'module {package!r} has no attribute {name!r}')

  return get, lambda: sorted({*vars(sys.modules[package]), *get('__all__')})
