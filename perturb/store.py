"""Results on disk: one `.npz` an image (readable by numpy, and as a zip of arrays by anything)."""

from collections.abc import Sequence
import contextlib
import csv
import io
import os
import pathlib
from typing import Any, NamedTuple
import zipfile

import numpy as np
from PIL import Image

from perturb.errors import UserError
from perturb.extremal import ExtremalResult


class Explanation(NamedTuple):
  """The extremal perturbations of one picture.

  Attributes:
    name: of the picture.
    class_name: of the class that was explained.
    target: its index.
    probability: its softmax probability in the unperturbed image; NaN for a channel of a layer.
    image: uint8 `[H, W, 3]`, what the network saw, before its normalisation.
    picture: uint8 `[2H, 2W, 3]`, the same at twice the resolution, for figures.
    blurred: uint8 `[H, W, 3]`, the fully perturbed image.
    threshold: tau of a*'s lower bound Phi_0 = tau Phi(x).
    result: arrays as numpy, with B = 1.
  """

  name: str
  class_name: str
  target: int
  probability: float
  image: np.ndarray
  picture: np.ndarray
  blurred: np.ndarray
  threshold: float
  result: ExtremalResult


def write_atomically(path: pathlib.Path, data: bytes) -> None:
  """Writes a file that is either there whole or not at all."""
  temporary = path.with_name(path.name + '.partial')
  try:
    temporary.write_bytes(data)
    os.replace(temporary, path)
  except OSError as error:
    with contextlib.suppress(OSError):
      temporary.unlink()
    raise UserError(f'{path}: cannot be written ({error.strerror})') from error


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


def save(path: str | os.PathLike[str], explanation: Explanation) -> None:
  """Writes an explanation; the same explanation gives the same bytes.

  Raises:
    UserError: if the file cannot be written.
  """
  fields: dict[str, Any] = explanation._asdict()
  result = fields.pop('result')
  arrays = {name: np.asarray(value) for name, value in (fields | result._asdict()).items()}
  write_atomically(pathlib.Path(path), npz_bytes(arrays))


def load(path: str | os.PathLike[str]) -> Explanation:
  """Reads what `save` wrote.

  Raises:
    UserError: if the file is missing, damaged, or not an explanation.
  """
  try:
    with np.load(path, allow_pickle=False) as arrays:
      values = {name: arrays[name] for name in arrays.files}
    result = ExtremalResult(**{name: values.pop(name) for name in ExtremalResult._fields})
    scalars = {name: value.item() for name, value in values.items() if value.ndim == 0}
    return Explanation(**(values | scalars), result=result)
  except FileNotFoundError as error:
    raise UserError(f'{path}: no such file') from error
  except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
    raise UserError(f'{path}: not a result of this program ({error})') from error


def write_table(path: pathlib.Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
  """Writes a CSV file."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(header)
  writer.writerows(rows)
  write_atomically(path, text.getvalue().encode())
