"""Files that are there whole or not at all, and whose bytes depend on their content alone."""

from collections.abc import Iterable, Sequence
import contextlib
import csv
import io
import os
import pathlib
from typing import Any
import zipfile

import numpy as np
from PIL import Image

from perturb.errors import StorageError, printable

_FORMULA = ('=', '+', '-', '@')  # What begins one, to a spreadsheet.


def write_atomically(path: pathlib.Path, data: bytes) -> None:
  """Writes a file that is either there whole or not at all."""
  temporary = path.with_name(path.name + '.partial')
  try:
    with open(temporary, 'wb') as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except OSError as error:
    with contextlib.suppress(OSError):
      temporary.unlink()
    raise StorageError(f'{path}: cannot be written ({error.strerror})') from error


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
  """As np.savez_compressed, without the time of day: the same arrays give the same bytes."""
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
    for name, array in arrays.items():
      info = zipfile.ZipInfo(f'{name}.npy', date_time=(1980, 1, 1, 0, 0, 0))
      info.compress_type = zipfile.ZIP_DEFLATED
      archive.writestr(info, npy_bytes(np.asarray(array)))
  return buffer.getvalue()


def npy_bytes(array: np.ndarray) -> bytes:
  """An array as a `.npy` file."""
  buffer = io.BytesIO()
  np.lib.format.write_array(buffer, array, allow_pickle=False)
  return buffer.getvalue()


def png_bytes(image: np.ndarray) -> bytes:
  """uint8 `[H, W]` or `[H, W, 3]` as a PNG file."""
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, 'png')
  return buffer.getvalue()


def write_table(path: pathlib.Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
  """Writes a CSV file; see `table_text`."""
  write_atomically(path, table_text([header, *rows]).encode())


def table_text(rows: Iterable[Sequence[Any]]) -> str:
  """Rows of CSV. A text that a spreadsheet would compute, as `=1+1`, has an apostrophe before."""
  text = io.StringIO()
  csv.writer(text, lineterminator='\n').writerows([_cell(value) for value in row] for row in rows)
  return text.getvalue()


def _cell(value: Any) -> Any:
  if not isinstance(value, str):
    return value
  shown = printable(value)
  return f"'{shown}" if shown.startswith(_FORMULA) and not _is_number(shown) else shown


def read_table(path: pathlib.Path) -> list[tuple[str, ...]]:
  """The rows that `write_table` wrote, as texts, without the header."""
  with open(path, newline='', encoding='utf-8') as file:
    return [tuple(map(from_cell, row)) for row in csv.reader(file)][1:]


def from_cell(cell: str) -> str:
  """The text that `table_text` wrote."""
  return cell[1:] if cell.startswith(tuple(f"'{first}" for first in _FORMULA)) else cell


def _is_number(text: str) -> bool:
  try:
    float(text)
  except ValueError:
    return False
  return True
