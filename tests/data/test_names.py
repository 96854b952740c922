import pytest

from perturb.data.names import LONGEST, harmless, unique_names
from perturb.errors import UserError, printable


@pytest.mark.parametrize(
  'name', ['chelsea', 'a b.c', '<!--', '"\'', 'Mücke', '写真', '=1', '-x', '...a']
)
def test_an_ordinary_name_stays(name):
  assert harmless(name) == name


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    ('a\nb', 'a%0Ab'),
    ('\x1b[31m', '%1B[31m'),
    ('\udcff', '%FF'),
    ('M\udcc3\udcbccke', 'Mücke'),  # As a locale without UTF-8 reads it.
    ('\ud83d', '%ED%A0%BD'),
    ('\u202egnp', '%E2%80%AEgnp'),
    ('a/b', 'a%2Fb'),
    ('..', '%2E%2E'),
  ],
)
def test_what_cannot_be_shown_is_escaped(name, expected):
  assert harmless(name) == expected


def test_long_names_are_cut_and_stay_apart():
  for letter in ('x', 'é', '写', '\n'):
    first, second = unique_names([letter * 250, letter * 249 + 'y'])
    assert first[:-9] == second[:-9] and first != second
    assert LONGEST - 4 <= len(first.encode()) <= LONGEST
  assert harmless('x' * LONGEST) == 'x' * LONGEST


def test_names_that_become_alike_are_numbered():
  names = ['a\nb', 'a%0Ab', 'A%0aB', 'Ä', 'A\u0308', 'a', 'a', 'a_2']
  assert list(unique_names(names)) == [
    'a%0Ab', 'a%0Ab_2', 'A%0aB_3', 'Ä', 'A\u0308_2', 'a', 'a_2', 'a_2_2',
  ]  # fmt: skip


def test_an_error_is_one_line():
  assert str(UserError('a\nb\x1b[31m \udcff é\u202e')) == 'a\\nb\\x1b[31m \\xff é\\u202e'
  assert printable('写真 100 %') == '写真 100 %'
