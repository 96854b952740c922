"""Nested fields by their dotted names."""

from collections.abc import Mapping
from typing import Any


def flatten(fields: Mapping[str, Any], prefix: str = '', *, empty: bool = False) -> dict[str, Any]:
  """{'settings': {'seed': 1}} -> {'settings.seed': 1}.

  Args:
    fields: field -> value, or more fields.
    prefix: of the names.
    empty: whether a field that holds no fields is kept, as an empty dictionary.
  """
  flat: dict[str, Any] = {}
  for name, value in fields.items():
    nested = isinstance(value, Mapping) and (value or not empty)
    flat |= flatten(value, f'{prefix}{name}.', empty=empty) if nested else {prefix + name: value}
  return flat
