"""WordNet's nouns, read from its database files: how near two names are.

Debian's `wordnet-base` has the files in /usr/share/wordnet: `apt-get install wordnet-base`. Their
format: wndb(5WN). The similarity is that of NLTK's `path_similarity`:

  1 / (1 + d),   d = the fewest steps between two synsets, up and down through hypernyms

Source: Fellbaum (ed.), WordNet, MIT Press 1998; the authors of Net2Vec (CVPR 2018, section 5.3)
compare embeddings with it. A synset, a set of words with one sense, is known by its offset, the
byte in data.noun at which its line begins.
"""

from collections.abc import Iterator, Sequence
import functools
import pathlib
import re

import numpy as np

from perturb.errors import UserError

FOLDER = '/usr/share/wordnet'
UPWARD = ('@', '@i')  # To what a thing is a kind of, or an instance of.
# Endings of plurals, and of the nouns that have them: morphy(7WN).
_ENDINGS = (
  ('s', ''), ('ses', 's'), ('ves', 'f'), ('xes', 'x'), ('zes', 'z'), ('ches', 'ch'), ('shes', 'sh'),
  ('men', 'man'), ('ies', 'y'),
)  # fmt: skip


class WordNet:
  """The nouns of a database; `WordNet().path_similarity('dog', 'cat')` is 0.2.

  Args:
    folder: with index.noun and data.noun, and noun.exc for irregular plurals.

  Raises:
    UserError: for a folder without them, or a damaged line.
  """

  def __init__(self, folder: str | pathlib.Path = FOLDER):
    self._folder = pathlib.Path(folder)
    self._data = self._read('data.noun')
    self._index = dict(self._lemmas())
    irregular = self._folder / 'noun.exc'
    lines = irregular.read_text(encoding='utf-8').splitlines() if irregular.exists() else []
    self._irregular = {form: bases for form, *bases in map(str.split, lines)}
    self._above = functools.cache(self._distances_above)

  def _read(self, name: str) -> bytes:
    try:
      return (self._folder / name).read_bytes()
    except OSError as error:
      raise UserError(
        f'{self._folder / name}: {error.strerror or error}; WordNet has index.noun and data.noun '
        'there: apt-get install wordnet-base, or name another folder'
      ) from error

  def _lemmas(self) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(lemma, offsets of its synsets, most frequent first) of each line of index.noun."""
    for number, line in enumerate(self._read('index.noun').splitlines(), 1):
      if line.startswith(b'  '):  # The licence.
        continue
      try:
        lemma, _, senses, *rest = line.decode().split()
        offsets = tuple(map(int, rest[len(rest) - int(senses) :]))
        if len(offsets) != int(senses):
          raise ValueError
      except ValueError as error:
        raise self._damaged('index.noun', f'line {number}') from error
      yield lemma, offsets

  def _damaged(self, name: str, place: str) -> UserError:
    return UserError(f'{self._folder / name}, {place}: not as WordNet writes it; install it anew')

  def synsets(self, name: str) -> tuple[int, ...]:
    """The senses of a name, most frequent first: offsets; empty if it is no noun of WordNet.

    'Dining table' is found as dining_table, 'x-ray' as it is, plurals by their singular.
    """
    joined = '_'.join(name.lower().replace('_', ' ').split())
    for form in dict.fromkeys((joined, joined.replace('-', '_'), joined.replace('_', ''))):
      for lemma in (form, *self._irregular.get(form, ()), *_singulars(form)):
        if lemma in self._index:
          return self._index[lemma]
    return ()

  def words(self, synset: int) -> tuple[str, ...]:
    """The words of a synset: ('dog', 'domestic dog', 'Canis familiaris')."""
    fields, count = self._fields(synset)
    return tuple(word.replace('_', ' ') for word in fields[4 : 4 + 2 * count : 2])

  def hypernyms(self, synset: int) -> tuple[int, ...]:
    """What a synset is a kind or an instance of: offsets."""
    fields, count = self._fields(synset)
    pointers = fields[5 + 2 * count :]
    kinds, offsets, parts = pointers[::4], pointers[1::4], pointers[2::4]
    return tuple(
      int(offset)
      for kind, offset, part in zip(kinds, offsets, parts, strict=False)
      if kind in UPWARD and part == 'n'
    )

  def _fields(self, synset: int) -> tuple[list[str], int]:
    """The fields of a synset's line before its gloss, and the number of its words."""
    end = self._data.find(b'|', max(synset, 0))
    try:
      fields = self._data[synset : None if end < 0 else end].decode().split()
      count, pointers = int(fields[3], 16), int(fields[4 + 2 * int(fields[3], 16)])
      if int(fields[0]) != synset or len(fields) != 5 + 2 * count + 4 * pointers:
        raise ValueError
    except (ValueError, IndexError) as error:
      raise self._damaged('data.noun', f'byte {synset}') from error
    return fields, count

  def hypernym_paths(self, synset: int) -> list[list[int]]:
    """The ways from the most general synset, 'entity', to one: offsets, that of the one last."""
    above = self.hypernyms(synset)
    if not above:
      return [[synset]]
    return [[*path, synset] for one in above for path in self.hypernym_paths(one)]

  def _distances_above(self, synset: int) -> dict[int, int]:
    """The fewest steps up from a synset to each that is above it, itself among them."""
    found, level, steps = {synset: 0}, [synset], 0
    while level:
      steps += 1
      level = [one for below in level for one in self.hypernyms(below) if one not in found]
      found.update(dict.fromkeys(level, steps))
    return found

  def path_similarity(self, first: str | int, second: str | int) -> float:
    """In (0, 1]: 1 for the same synset; 0 if nothing is above both, NaN for an unknown name.

    Args:
      first: a name, whose most frequent sense counts, or the offset of a synset.
      second: likewise.
    """
    offsets = [one if isinstance(one, int) else self._first_sense(one) for one in (first, second)]
    if None in offsets:
      return np.nan
    one, other = (self._above(offset) for offset in offsets)
    return 1 / (
      1 + min((one[synset] + other[synset] for synset in one.keys() & other), default=np.inf)
    )

  def _first_sense(self, name: str) -> int | None:
    return next(iter(self.synsets(name)), None)

  def name_similarity(self, names: Sequence[str]) -> np.ndarray:
    """Path similarities of the most frequent senses, `[C, C]`; NaN for names not found."""
    senses = [self._first_sense(name) for name in names]
    known = [place for place, sense in enumerate(senses) if sense is not None]
    above = [self._above(senses[place]) for place in known]
    column = {synset: k for k, synset in enumerate(sorted(set().union(*above)))}
    steps = np.full((len(known), len(column)), np.inf)
    for row, distances in zip(steps, above, strict=True):
      row[[column[synset] for synset in distances]] = list(distances.values())
    found = np.full((len(names), len(names)), np.nan)
    for place, row in zip(known, steps, strict=True):
      through = np.flatnonzero(np.isfinite(row))  # Few: what is above one synset.
      found[place, known] = 1 / (1 + (steps[:, through] + row[through]).min(1, initial=np.inf))
    return found


def _singulars(form: str) -> Iterator[str]:
  for plural, ending in _ENDINGS:
    if form.endswith(plural) and len(form) > len(plural):
      yield re.sub(f'{plural}$', ending, form)
