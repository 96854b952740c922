"""WordNet's files: a small database in their format, and Debian's own (python -m pytest -m system).

The similarities of Debian's are those of NLTK 3.10.4 on the same files; it agrees to the last bit
also on 11 800 pairs of other nouns.
"""

import numpy as np
import pytest

from concepts.wordnet import WordNet
from perturb.errors import UserError

LICENCE = '  1 This software and database is being provided to you, the LICENSEE, by  \n'
# Words of a synset, and what it is a kind of; 'i' is an instance. In the order of data.noun.
SYNSETS = {
  'entity': ((), ''),
  'animal animate_being': (('entity',), '@'),
  'pet': (('animal',), '@'),
  'dog domestic_dog': (('animal', 'pet'), '@'),
  'cat': (('pet',), '@'),
  'wolf': (('animal',), '@'),
  'Laika': (('dog',), '@i'),
  'dining_table': (('entity',), '@'),
  'dog frump': (('entity',), '@'),  # A second sense.
  'island': ((), ''),  # Nothing is above it and another.
}


def write(folder, synsets=SYNSETS):
  """The files of a database; the synset of a word is its first."""

  def line(number):
    words, above, kind = rows[number]
    fields = f'{offsets[number]:08d} 03 n {len(words):02x} ' + ''.join(f'{w} 0 ' for w in words)
    pointers = ''.join(f'{kind} {offset_of(one):08d} n 0000 ' for one in above)
    # A part of something is another kind of pointer, which is not followed.
    return f'{fields}{len(above) + 1:03d} {pointers}#p {offsets[0]:08d} n 0000 | of {words[0]}  \n'

  def offset_of(word):
    return next(offsets[k] for k, words in enumerate(synsets) if word in words.split())

  rows = [(words.split(), *rest) for words, rest in synsets.items()]
  offsets = [0] * len(rows)
  size = len(LICENCE)
  for number in range(len(rows)):  # The number of digits of an offset does not change.
    offsets[number] = size
    size += len(line(number))
  lines = [line(number) for number in range(len(rows))]
  (folder / 'data.noun').write_text(LICENCE + ''.join(lines))
  lemmas = {}
  for number, (words, *_) in enumerate(rows):
    for word in words:
      lemmas.setdefault(word.lower(), []).append(offsets[number])
  index = ''.join(
    f'{lemma} n {len(found)} 1 @ {len(found)} 0 ' + ' '.join(f'{o:08d}' for o in found) + '  \n'
    for lemma, found in sorted(lemmas.items())
  )
  (folder / 'index.noun').write_text(LICENCE + index)
  (folder / 'noun.exc').write_text('wolves wolf\n')


@pytest.fixture
def small(tmp_path):
  write(tmp_path)
  return WordNet(tmp_path)


def words(database, name):
  return [database.words(synset)[0] for synset in database.synsets(name)]


def test_a_name_has_its_senses_in_their_order(small):
  assert [small.words(one) for one in small.synsets('dog')] == [
    ('dog', 'domestic dog'),
    ('dog', 'frump'),
  ]


@pytest.mark.parametrize(
  ('name', 'found'),
  [
    ('Dining Table', ['dining table']),
    ('dining-table', ['dining table']),
    ('dining tables', ['dining table']),
    ('wolves', ['wolf']),
    ('laika', ['Laika']),
    ('zebra', []),
    ('', []),
    ('s', []),
  ],
)
def test_names_are_found_as_they_are_written(small, name, found):
  assert words(small, name) == found


def test_hypernym_paths_lead_from_the_root(small):
  (dog, *_), (laika,) = small.synsets('dog'), small.synsets('Laika')
  paths = [[small.words(one)[0] for one in path] for path in small.hypernym_paths(dog)]
  assert paths == [['entity', 'animal', 'dog'], ['entity', 'animal', 'pet', 'dog']]
  assert small.hypernyms(laika) == (dog,)


@pytest.mark.parametrize(
  ('first', 'second', 'steps'),
  [
    ('dog', 'dog', 0),
    ('dog', 'frump', 3),  # dog, animal, entity, and down.
    ('dog', 'cat', 2),  # Through pet, not animal.
    ('cat', 'wolf', 3),
    ('Laika', 'animal', 2),
    ('dog', 'island', np.inf),
  ],
)
def test_path_similarity_by_hand(small, first, second, steps):
  assert small.path_similarity(first, second) == 1 / (1 + steps)
  assert small.path_similarity(second, small.synsets(first)[0]) == 1 / (1 + steps)


def test_name_similarity_is_that_of_all_pairs(small):
  names = ['dog', 'cats', 'zebra', 'dining table', 'island', 'Laika', 'dog']
  found = small.name_similarity(names)
  pairs = [[small.path_similarity(one, other) for other in names] for one in names]
  np.testing.assert_array_equal(found, pairs)
  assert np.isnan(found[2]).all() and np.isnan(found[:, 2]).all()
  assert small.name_similarity([]).shape == (0, 0)
  assert np.isnan(small.name_similarity(['zebra'])).all()


def test_a_folder_without_wordnet_is_named(tmp_path):
  with pytest.raises(UserError, match=r'nowhere/data.noun: No such file.*wordnet-base'):
    WordNet(tmp_path / 'nowhere')


def test_a_damaged_index_is_named(tmp_path):
  write(tmp_path)
  (tmp_path / 'index.noun').write_text(LICENCE + 'dog n x 1\n')
  with pytest.raises(UserError, match=r'index.noun, line 2: not as WordNet'):
    WordNet(tmp_path)


@pytest.mark.parametrize('offset', [3, -1, 10**7])
def test_what_is_no_synset_is_named(small, offset):
  with pytest.raises(UserError, match=f'data.noun, byte {offset}: not as WordNet'):
    small.hypernyms(offset)


def test_cut_data_is_named(tmp_path):
  write(tmp_path)
  data = (tmp_path / 'data.noun').read_bytes()
  (tmp_path / 'data.noun').write_bytes(data[: len(data) // 2])
  with pytest.raises(UserError, match='data.noun, byte'):
    WordNet(tmp_path).name_similarity(['entity', 'island'])


@pytest.mark.system
def test_debians_wordnet_agrees_with_nltk():
  wordnet = WordNet()
  assert wordnet.words(wordnet.synsets('dogs')[0])[0] == 'dog'
  names = ['dog', 'cat', 'dining table', 'license plates', 'men', 'Einstein', 'sky', 'Paris']
  steps = [0, 4, 11, 9, 14, 7, 12, 14]
  np.testing.assert_array_equal(wordnet.name_similarity(names)[0], 1 / (1 + np.array(steps)))
  assert np.isnan(wordnet.path_similarity('striped', 'dog'))
