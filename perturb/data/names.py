"""Names of pictures and classes: harmless as a file's name, in a table and on a terminal."""

from collections.abc import Iterator, Sequence
import unicodedata
import zlib

from perturb.errors import UNPRINTABLE, decoded

LONGEST = 200  # Bytes: a file's name has at most 255, and figures add to it.


def harmless(name: str) -> str:
  """A name that can be shown and can be a file's: as it is, if it is an ordinary one.

  What cannot be printed, and separators of folders, become `%0A`, the bytes of UTF-8; bytes that
  are no UTF-8 as well. Of a long name the end is replaced by its checksum.
  """
  name = decoded(name)
  if not name.strip('.'):
    return '%2E' * len(name)
  shown = UNPRINTABLE.sub(lambda found: _percent(found[0]), name).replace('/', '%2F')
  if len(shown.encode()) <= LONGEST:
    return shown
  beginning = shown.encode()[: LONGEST - 9].decode(errors='ignore')
  return f'{beginning}~{zlib.crc32(_bytes_of(name)):08x}'


def _percent(character: str) -> str:
  return ''.join(f'%{byte:02X}' for byte in _bytes_of(character))


def _bytes_of(text: str) -> bytes:
  try:
    return text.encode('utf-8', 'surrogateescape')
  except UnicodeEncodeError:  # Half of a pair, which no file's name has.
    return text.encode('utf-8', 'surrogatepass')


def unique_names(names: Sequence[str]) -> Iterator[str]:
  """The names, made harmless, with a number after those that came before in whatever case."""
  seen: set[str] = set()
  for name in map(harmless, names):
    candidate, count = name, 2
    while _alike(candidate) in seen:
      candidate, count = f'{name}_{count}', count + 1
    seen.add(_alike(candidate))
    yield candidate


def _alike(name: str) -> str:
  """What two names have in common that are the same to some file system."""
  return unicodedata.normalize('NFC', name).lower()
