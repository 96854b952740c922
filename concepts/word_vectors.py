"""Word vectors from a text file, such as those of GloVe: a word a line, and its numbers.

Source of the vectors: Pennington et al., GloVe (EMNLP 2014); the format is also that of word2vec
and fastText, whose first line says how many there are.
"""

from collections.abc import Iterator, Sequence
import pathlib
import re

import numpy as np

from perturb.errors import UserError


def read_word_vectors(
  path: str | pathlib.Path, names: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
  """The vectors of names, of a file that may be larger than memory.

  Only the lines of words that are asked for are kept, and nothing is read behind the last of them.
  A name of several words, 'dining table', has the mean of their vectors, unless the file has it as
  one word, 'dining-table' or 'dining_table'. Words are looked up in lower case.

  Args:
    path: of lines `word v1 ... vd`, UTF-8, with one space between.
    names: C of them.

  Returns:
    (float32 `[C, d]`, NaN for the names of which a word is missing; the missing words, sorted).

  Raises:
    UserError: names the file and what is wrong: it cannot be read, has no vectors, or a line has
      other than d numbers.
  """
  whole = {name: _as_one(name) for name in names}
  parts = {name: re.split(r'[\s_-]+', name.lower().strip()) for name in names}
  wanted = set().union(*whole.values(), *parts.values())
  size, found = _read(pathlib.Path(path), wanted)
  vectors = np.full((len(names), size), np.nan, np.float32)
  missing: set[str] = set()
  for row, name in zip(vectors, names, strict=True):
    one = next((form for form in whole[name] if form in found), None)
    words = parts[name] if one is None else [one]
    missing.update(word for word in words if word not in found)
    if missing.isdisjoint(words):
      row[:] = np.mean([found[word] for word in words], 0)
  return vectors, sorted(missing)


def _as_one(name: str) -> list[str]:
  words = re.split(r'[\s_]+', name.lower().strip())
  return list(dict.fromkeys(mark.join(words) for mark in ('_', '-')))


def _read(path: pathlib.Path, wanted: set[str]) -> tuple[int, dict[str, np.ndarray]]:
  """(d, the vectors of the words wanted that are there); of a word's lines the first counts."""
  size, left, found = 0, set(wanted), {}
  for number, line in _lines(path):
    size = size or line.count(' ')
    if not (size and left):
      break
    if line.count(' ') < size:
      raise UserError(f'{path}, line {number}: {line.count(" ")} numbers, where others have {size}')
    word, *values = line.rsplit(' ', size)
    if word in left:
      found[word] = _vector(path, number, values)
      left.remove(word)
  if not size:
    raise UserError(f'{path}: no vectors; each line must be a word and its numbers')
  return size, found


def _lines(path: pathlib.Path) -> Iterator[tuple[int, str]]:
  """(number from 1, line), without the line of word2vec that says how many follow."""
  try:
    with path.open(encoding='utf-8', newline='\n') as file:
      for number, line in enumerate(file, 1):
        if not (number == 1 and re.fullmatch(r'\d+ \d+\s*', line)):
          yield number, line.rstrip()
  except (OSError, UnicodeDecodeError) as error:
    reason = getattr(error, 'strerror', None) or error
    raise UserError(f'{path}: {reason}; it must be a text file of word vectors') from error


def _vector(path: pathlib.Path, number: int, values: list[str]) -> np.ndarray:
  try:
    vector = np.array(values, np.float32)
  except ValueError as error:
    raise UserError(f'{path}, line {number}: {error}') from error
  if not np.isfinite(vector).all():
    raise UserError(f'{path}, line {number}: a number is not finite')
  return vector
