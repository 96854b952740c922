"""The bytes of a pickle, read within bounds."""

import os
import struct
from typing import BinaryIO

from perturb.nets.weights.errors import CheckpointError

MAX_TEXT = 10_000  # bytes
MAX_NUMBER = 64  # bytes, or digits
TEXT_STEP = 32  # So many bytes of text count as an instruction, which bounds the memory.


class PickleBytes:
  """Reads numbers, texts and lines up to a position of a file, as often as its steps allow."""

  def __init__(self, file: BinaryIO, end: int, steps: int) -> None:
    self.file, self.end, self.left = file, end, steps

  def spend(self, steps: int) -> None:
    self.left -= steps
    if self.left < 0:
      raise CheckpointError(
        'its description of the tensors is too long; save model.state_dict() alone'
      )

  def check(self, count: int) -> None:
    if count < 0 or (count > MAX_NUMBER and count > self.end - self.file.tell()):
      raise ValueError

  def take(self, count: int) -> bytes:
    self.check(count)
    data = self.file.read(count)
    if len(data) != count:
      raise ValueError
    return data

  def skip(self, count: int) -> None:
    self.check(count)
    self.file.seek(count, os.SEEK_CUR)

  def integer(self, layout: str) -> int:
    [number] = struct.unpack(layout, self.take(struct.calcsize(layout)))
    return number

  def line(self) -> bytes | None:
    """Up to the next line break; None for what is longer than any name."""
    line = self.file.readline(MAX_TEXT)
    whole = line.endswith(b'\n')
    while line and not line.endswith(b'\n'):
      line = self.file.readline(MAX_TEXT)
    if not line:
      raise ValueError
    self.spend(len(line) // TEXT_STEP)
    return line[:-1] if whole else None

  def line_integer(self) -> int:
    line = self.line()
    if line is None or len(line) > MAX_NUMBER:
      raise ValueError
    return int(line)
