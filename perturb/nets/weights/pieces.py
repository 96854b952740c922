"""Stretches of a file that hold numbers, as they are or packed in a zip archive."""

import dataclasses
import os
import struct
from typing import BinaryIO, Protocol
import zlib

import numpy as np

from perturb.nets.weights.errors import CheckpointError, shown

_END = struct.Struct('<4s4H2LH')  # The record at the end of a zip archive,
_END_64 = struct.Struct('<4sQ2H2L4Q')  # the one of archives that are large,
_LOCATOR_64 = struct.Struct('<4sLQL')  # and where that one is.
_MEMBER = struct.Struct('<4s4B4HL2L5H2L')  # A member in the directory,
_LOCAL = struct.Struct('<4s2B4HL2L2H')  # and before its data.
_LONGEST_COMMENT = 1 << 16
_MAX_DIRECTORY = 1 << 22  # bytes, of some 40 000 members
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1


class Piece(Protocol):
  """Bytes of a file: `nbytes` of them, as `read` gives them."""

  @property
  def nbytes(self) -> int: ...

  def read(self, file: BinaryIO) -> np.ndarray:
    """uint8 `[nbytes]`.

    Raises:
      CheckpointError: if the file does not have them.
    """
    ...


def file_size(file: BinaryIO) -> int:
  """In bytes; the position in the file is lost."""
  return file.seek(0, os.SEEK_END)


@dataclasses.dataclass(frozen=True)
class Plain:
  """Bytes as they are, from an offset in the file."""

  offset: int
  nbytes: int

  def read(self, file: BinaryIO) -> np.ndarray:
    if self.offset + self.nbytes > file_size(file):
      raise CheckpointError('truncated')
    data = np.empty(self.nbytes, np.uint8)
    file.seek(self.offset)
    if file.readinto(data) != self.nbytes:  # type: ignore[attr-defined]
      raise CheckpointError('truncated')
    return data


@dataclasses.dataclass(frozen=True)
class Member:
  """A file in a zip archive. Its checksum is not compared: PyTorch can write none."""

  name: str
  header: int  # Offset of the record before its data.
  flags: int
  method: int
  packed: int  # Bytes that it takes in the archive.
  nbytes: int

  def place(self, file: BinaryIO) -> Plain:
    """Where the data are, packed or not.

    Raises:
      CheckpointError: for a member that cannot be unpacked.
    """
    where = f'{shown(self.name)} of the archive'
    if self.flags & _ENCRYPTED:
      raise CheckpointError(f'{where} is encrypted')
    if self.method not in (_STORED, _DEFLATED):
      raise CheckpointError(f'{where} is compressed by method {self.method}; only deflate is read')
    file.seek(self.header)
    record = file.read(_LOCAL.size)
    if len(record) != _LOCAL.size or not record.startswith(b'PK\x03\x04'):
      raise CheckpointError(f'{where} is missing or damaged')
    *_, name, extra = _LOCAL.unpack(record)
    place = Plain(self.header + _LOCAL.size + name + extra, self.packed)
    if place.offset + place.nbytes > file_size(file):
      raise CheckpointError(f'{where} is truncated')
    if self.method == _STORED and self.packed != self.nbytes:
      raise CheckpointError(f'{where} is damaged: its size is given twice and differs')
    return place

  def read(self, file: BinaryIO) -> np.ndarray:
    data = self.place(file).read(file)
    if self.method == _STORED:
      return data
    try:
      unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data.tobytes(), self.nbytes + 1)
    except zlib.error as error:
      raise CheckpointError(f'{shown(self.name)} of the archive is damaged') from error
    if len(unpacked) != self.nbytes:
      raise CheckpointError(f'{shown(self.name)} of the archive is damaged: it has another size')
    return np.frombuffer(bytearray(unpacked), np.uint8)


def members(file: BinaryIO) -> dict[str, Member]:
  """The files in a zip archive by name.

  Raises:
    CheckpointError: for a damaged directory, or one that is longer than any checkpoint's.
  """
  start, size, _ = _directory(file)
  if size > _MAX_DIRECTORY:
    raise CheckpointError('its zip archive has more members than a checkpoint')
  file.seek(start)
  data, at = file.read(size), 0
  found: dict[str, Member] = {}
  try:
    while at < len(data):
      member, at = _member(data, at)
      found.setdefault(member.name, member)
  except struct.error as error:
    raise CheckpointError('the directory of its zip archive is damaged') from error
  return found


def _directory(file: BinaryIO) -> tuple[int, int, int]:
  """(offset, bytes, offset of the record of the end) of an archive's directory."""
  total = file_size(file)
  first = max(0, total - _LONGEST_COMMENT - _END.size)
  file.seek(first)
  tail = file.read(_LONGEST_COMMENT + _END.size)
  at = tail.rfind(b'PK\x05\x06')
  if at < 0 or at + _END.size > len(tail):
    raise CheckpointError('truncated: its zip archive has no directory')
  *_, size, start, _ = _END.unpack_from(tail, at)
  end = first + at
  if 0xFFFFFFFF in (size, start) or tail[max(at - _LOCATOR_64.size, 0) :][:4] == b'PK\x06\x07':
    size, start = _large_directory(file, end - _LOCATOR_64.size)
  if start + size > end:
    raise CheckpointError('the directory of its zip archive is damaged')
  return start, size, end


def _large_directory(file: BinaryIO, locator: int) -> tuple[int, int]:
  try:
    file.seek(max(locator, 0))
    _, _, at, _ = _LOCATOR_64.unpack(file.read(_LOCATOR_64.size))
    file.seek(min(at, locator))
    signature, *_, size, start = _END_64.unpack(file.read(_END_64.size))
  except struct.error as error:
    raise CheckpointError('the directory of its zip archive is damaged') from error
  if signature != b'PK\x06\x06':
    raise CheckpointError('the directory of its zip archive is damaged')
  return size, start


def _member(data: bytes, at: int) -> tuple[Member, int]:
  """The member that is described at a position of the directory, and the next position."""
  fields = _MEMBER.unpack_from(data, at)
  flags, method = fields[5], fields[6]
  packed, nbytes, name_size, extra_size, comment_size = fields[10:15]
  header = fields[-1]
  if fields[0] != b'PK\x01\x02':
    raise struct.error
  at += _MEMBER.size
  name = data[at : at + name_size].decode('utf-8', 'replace')
  extra = data[at + name_size : at + name_size + extra_size]
  nbytes, packed, header = _large_sizes(extra, [nbytes, packed, header])
  return Member(name, header, flags, method, packed, nbytes), (
    at + name_size + extra_size + comment_size
  )


def _large_sizes(extra: bytes, sizes: list[int]) -> list[int]:
  """Sizes and offsets of which those that need 64 bits are in the extra fields."""
  at = 0
  while at + 4 <= len(extra):
    kind, size = struct.unpack_from('<2H', extra, at)
    if kind == 1:
      large = iter(struct.unpack_from(f'<{min(size // 8, 3)}Q', extra, at + 4))
      return [next(large, 0) if one == 0xFFFFFFFF else one for one in sizes]
    at += 4 + size
  return sizes
