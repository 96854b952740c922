"""Pictures of the flower: what is where, what differs between classes, and views."""

import zlib

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from perturb.data.flower_light import FRAME, MARGIN, SAMPLES, WHOLE, projected, seen_from
from perturb.data.flower_parts import PARTS, part
from perturb.data.flower_pictures import (
  COLOURS,
  PLAIN,
  VARIANTS,
  Rendered,
  Scene,
  discriminative_part,
  render,
  render_whole,
  view,
)
from perturb.data.rasteriser import rasterise
from perturb.errors import UserError

HARD = Scene(background='textured', jitter=1.0, seed=3)
FIRST, HARD_FIRST = [3297322012, 2129177881], 282113391  # Checksums.


def differ(first, second):
  return (first.picture != second.picture).any(axis=-1)


def around(mask):
  """A mask and the pixels beside it, which may have a sample of the part."""
  return binary_dilation(mask, np.ones((3, 3)))


@pytest.mark.parametrize(('label', 'viewpoint'), [('balls', 3), ('thorns', 29)])
def test_masks_are_what_each_part_alone_hides_of_the_others(label, viewpoint):
  """Each part is rendered by itself, and a sample is the part's whose depth is the least."""
  names = [name for name in PARTS if name == label or name not in ('balls', 'thorns')]
  depths = [
    rasterise(
      projected(seen_from(part(name), viewpoint / 40).corners), WHOLE * SAMPLES, WHOLE * SAMPLES
    ).depth
    for name in names
  ]
  seen = np.array([1 + PARTS.index(name) for name in names])[np.argmin(depths, axis=0)]
  seen[np.isinf(depths).all(axis=0)] = 0
  blocks = seen.reshape(WHOLE, SAMPLES, WHOLE, SAMPLES).swapaxes(1, 2).reshape(-1, SAMPLES**2)
  counts = np.stack([(blocks == index).sum(axis=1) for index in range(1 + len(PARTS))])
  most = len(PARTS) - counts[::-1].argmax(axis=0)  # Of equals the last.
  found = render_whole('part-2c', label, viewpoint)
  np.testing.assert_array_equal(found.parts.ravel(), most)
  assert set(np.unique(found.parts)) == {0, *(1 + PARTS.index(name) for name in names)}


@pytest.mark.parametrize('variant', VARIANTS)
def test_classes_differ_in_nothing_but_their_part(variant):
  some = {*VARIANTS[variant][:2], VARIANTS[variant][-1]}
  pictures = {label: render(variant, label, 13, scene=HARD) for label in sorted(some)}
  own = {label: one.mask(discriminative_part(label)) for label, one in pictures.items()}
  assert all(mask.any() for mask in own.values())
  first, *others = pictures
  for label in others:
    changed = differ(pictures[first], pictures[label])
    np.testing.assert_array_equal(changed & ~around(own[first] | own[label]), False)
    assert changed[own[label]].mean() > 0.9


def test_no_two_viewpoints_are_the_same():
  seen = {render('part-2c', 'thorns', viewpoint).parts.tobytes() for viewpoint in range(0, 40, 8)}
  assert len(seen) == 5


def test_a_turn_is_a_turn():
  """Viewpoint 1 of 4 is viewpoint 10 of 40."""
  few, many = (
    render('single-6c', 'petals red', 1, scene=Scene(4)),
    render('single-6c', 'petals red', 10),
  )
  np.testing.assert_array_equal(few.picture, many.picture)


def test_without_a_part_what_is_behind_it_is_seen():
  whole, without = (render('single-6c', 'petals red', 0, without=x) for x in ((), ('petals',)))
  petals = whole.mask('petals')
  assert petals.any() and not without.mask('petals').any()
  np.testing.assert_array_equal(differ(whole, without) & ~around(petals), False)
  assert {0, 1 + PARTS.index('stem')} <= set(np.unique(without.parts[petals]))
  empty = render('single-6c', 'petals red', 0, without=PARTS)
  assert (empty.picture == PLAIN).all() and not empty.parts.any()


def test_a_part_of_another_colour():
  blue = render('single-6c', 'petals red', 0, recolour={'petals': 'blue'})
  np.testing.assert_array_equal(blue.picture, render('single-6c', 'petals blue', 0).picture)
  pot = render('single-6c', 'petals red', 0, recolour={'pot': 'cyan'})
  red = render('single-6c', 'petals red', 0)
  np.testing.assert_array_equal(pot.parts, red.parts)
  np.testing.assert_array_equal(differ(pot, red) & ~around(red.mask('pot')), False)
  assert np.ptp(np.median(pot.picture[red.mask('pot')], axis=0) / COLOURS['cyan']) < 0.05


def test_a_frame_is_the_same_at_any_time_and_place():
  """Colours, and parts: of this library's first rendering."""
  found = render('double-12c', 'stem orange', 7)
  assert [zlib.crc32(found.picture.tobytes()), zlib.crc32(found.parts.tobytes())] == FIRST
  assert zlib.crc32(render('part-2c', 'balls', 31, scene=HARD).picture.tobytes()) == HARD_FIRST


def test_a_seed_changes_light_colours_and_background_but_no_shape():
  scenes = [Scene(background='textured', jitter=0.5, seed=seed) for seed in (0, 1)]
  first, second = (render('single-6c', 'petals red', 5, scene=scene) for scene in scenes)
  np.testing.assert_array_equal(first.parts, second.parts)
  assert differ(first, second).mean() > 0.98
  plain = render('single-6c', 'petals red', 5)
  assert not differ(plain, render('single-6c', 'petals red', 5, scene=Scene(seed=1))).any()


def places():
  """A picture whose colours say where a pixel is in the frame, and its parts too."""
  y, x = np.mgrid[:WHOLE, :WHOLE] - MARGIN + 0.5
  picture = np.stack([x / 2 + 30, y / 2 + 30, 0 * x], axis=-1).round().astype(np.uint8)
  return Rendered(picture, ((x >= 100) & (x < 200) & (y >= 150)).astype(np.uint8))


@pytest.mark.parametrize('crop', [1, 2, 3, 4, 5])
@pytest.mark.parametrize('rotation', [1, 5])
def test_a_view_is_a_crop_turned_about_its_middle(crop, rotation):
  found = view(places(), crop, rotation)
  left, top = [(0, 0), (50, 0), (0, 50), (50, 50), (25, 25)][crop - 1]
  dy, dx = np.mgrid[:250, :250] + 0.5 - 125
  angle = np.deg2rad(5 * rotation)  # Counterclockwise: what is on the right goes up.
  x = left + 125 + np.cos(angle) * dx - np.sin(angle) * dy
  y = top + 125 + np.sin(angle) * dx + np.cos(angle) * dy
  assert min(x.min(), y.min()) > -MARGIN and max(x.max(), y.max()) < FRAME + MARGIN
  assert np.abs(found.picture[..., 0] - (x / 2 + 30)).max() < 1.5
  assert np.abs(found.picture[..., 1] - (y / 2 + 30)).max() < 1.5
  np.testing.assert_array_equal(
    found.parts, (np.floor(x) >= 100) & (np.floor(x) < 200) & (np.floor(y) >= 150)
  )


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    (('six', 'petals red', 0), 'variant must be one of single-6c, double-12c, part-2c'),
    (('single-6c', 'stem red', 0), 'a class of single-6c must be one of petals blue'),
    (('single-6c', 'petals red', 40), 'viewpoint must be from 0 to 39, not 40'),
  ],
)
def test_a_flower_that_is_none(given, message):
  with pytest.raises(UserError, match=message):
    render(*given)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'without': ['petal']}, 'a part must be one of pot, .*petals'),
    ({'recolour': {'pot': 'green'}}, 'a colour must be one of blue'),
    ({'scene': Scene(background='wood')}, 'background must be one of plain, textured'),
    ({'scene': Scene(jitter=2)}, 'jitter must be from 0 to 1, not 2'),
  ],
)
def test_a_picture_that_is_none(changes, message):
  with pytest.raises(UserError, match=message):
    render('single-6c', 'petals red', 0, **changes)
