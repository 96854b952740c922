"""When an explanation says that it should not be trusted."""

import types

import numpy as np

from perturb.store.doubts import (
  CHEAPER,
  HARDLY,
  OTHERS,
  UNREACHED,
  UNSEEN,
  doubts_of,
  game_value,
  in_words,
  star_of,
)

AREAS = np.array([0.1, 0.2])


def scores_of(scores, full, blank):
  return types.SimpleNamespace(
    areas=AREAS,
    scores=np.array(scores, float),
    full_score=np.array(full, float),
    blank_score=np.array(blank, float),
  )


def test_each_doubt_is_of_its_image_and_area():
  scores = scores_of([[9, 11], [5, 6], [5, 6], [1, 2]], [10, -1, 0.5, 10], [0, 0, 0, 0])
  cheap = np.array([[9.5, 3], [1, 1], [np.nan, np.nan], [1, 1]])
  others = np.array([[False, True], *[[False] * 2] * 3])
  doubts = doubts_of(scores, 1.0, 'preserve', scores.scores, cheap, others)
  assert doubts == [[CHEAPER, OTHERS], [UNSEEN] * 2, [HARDLY] * 2, [UNREACHED] * 2]
  assert in_words(doubts[0], AREAS) == [f'{CHEAPER} (area 0.1)', f'{OTHERS} (area 0.2)']
  assert in_words(doubts[1], AREAS) == [UNSEEN]
  assert in_words(['', ''], AREAS) == []


def test_what_a_game_maximises():
  kept, deleted = np.array([3.0]), np.array([1.0])
  assert [game_value(game, kept, deleted)[0] for game in ('preserve', 'delete', 'hybrid')] == [
    3,
    -1,
    2,
  ]


def test_the_deletion_game_has_no_a_star_to_miss():
  scores = scores_of([[1, 2]], [10], [0])
  unknown = np.full((1, 2), np.nan)
  assert doubts_of(scores, 1.0, 'delete', -scores.scores, unknown, np.zeros((1, 2), bool)) == [
    ['', '']
  ]
  assert np.isnan(star_of(scores, 0.1, 'delete')).all()
  assert star_of(scores, 0.1, 'preserve') == [0.1]
