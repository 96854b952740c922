"""Word vectors from a text file in the format of GloVe, word2vec and fastText."""

import numpy as np
import pytest

from concepts.word_vectors import read_word_vectors
from perturb.errors import UserError

LINES = ['the 0 0 0.5', 'dog 1 2 3', '. . . 9 9 9', 'table 3 0 0', 'dining 1 0 -1', 't-shirt 4 4 4']


@pytest.fixture
def file(tmp_path):
  def write(lines, end='\n'):
    path = tmp_path / 'vectors.txt'
    path.write_text(''.join(line + end for line in lines), encoding='utf-8', newline='')
    return path

  return write


def test_names_have_the_mean_of_their_words(file):
  names = ['Dog', 'dining table', 't-shirt', 'dog-table', 'unicorn', 'dining unicorn']
  vectors, missing = read_word_vectors(file(LINES), names)
  np.testing.assert_array_equal(
    vectors, [[1, 2, 3], [2, 0, -0.5], [4, 4, 4], [2, 1, 1.5], [np.nan] * 3, [np.nan] * 3]
  )
  assert missing == ['unicorn'] and vectors.dtype == np.float32


def test_a_name_that_is_one_word_of_the_file_is_that_word(file):
  path = file([*LINES, 'dining_table 7 7 7'])
  np.testing.assert_array_equal(read_word_vectors(path, ['dining table'])[0], [[7, 7, 7]])


def test_other_formats_of_the_same(file):
  expected = read_word_vectors(file(LINES), ['dog', 't-shirt'])[0]
  headed = read_word_vectors(file([f'{len(LINES)} 3', *LINES], ' \r\n'), ['dog', 't-shirt'])[0]
  np.testing.assert_array_equal(headed, expected)


def test_the_first_of_two_lines_counts(file):
  np.testing.assert_array_equal(
    read_word_vectors(file(['a 1 2', 'a 3 4']), ['a', 'b'])[0][0], [1, 2]
  )


def test_nothing_is_read_behind_the_last_word(file):
  vectors, missing = read_word_vectors(file(['dog 1 2 3', 'damaged']), ['dog'])
  assert vectors.tolist() == [[1, 2, 3]] and missing == []


@pytest.mark.parametrize(
  ('lines', 'message'),
  [
    (['the 1 2', 'dog 1'], 'vectors.txt, line 2: 1 numbers, where others have 2'),
    (['the 1 2', 'dog 1 x'], "vectors.txt, line 2: could not convert string to float: 'x'"),
    (['the 1 2', 'dog 1 nan'], 'vectors.txt, line 2: a number is not finite'),
    ([], 'vectors.txt: no vectors'),
    (['words'], 'vectors.txt: no vectors'),
  ],
)
def test_a_damaged_line_is_named(file, lines, message):
  with pytest.raises(UserError, match=message):
    read_word_vectors(file(lines), ['dog'])


def test_a_file_that_cannot_be_read_is_named(tmp_path):
  with pytest.raises(UserError, match=r'none.txt: No such file'):
    read_word_vectors(tmp_path / 'none.txt', ['dog'])
  (tmp_path / 'binary').write_bytes(b'\xff\xfe\x00')
  with pytest.raises(UserError, match='binary: .*must be a text file of word vectors'):
    read_word_vectors(tmp_path / 'binary', ['dog'])
