"""Triangles to pixels: by hand, and against rays."""

import numpy as np
import pytest

from perturb.data.rasteriser import rasterise


def triangle(*corners, depth=1.0):
  """`[1, 3, 3]` of corners (x, y) or (x, y, depth)."""
  return np.array([[[*corner, depth][:3] for corner in corners]], float)


def covered(corners, height=4, width=4):
  return rasterise(corners, height, width).face >= 0


def test_the_pixels_of_a_triangle():
  """Centres are at .5; the long side is a right edge, and the centres on it are not inside."""
  found = covered(triangle((0, 0), (4, 0), (0, 4)))
  np.testing.assert_array_equal(
    found, np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0] * 4])
  )
  other = covered(triangle((4, 0), (4, 4), (0, 4)))
  np.testing.assert_array_equal(other, ~found)


def test_a_square_of_many_triangles_is_covered_once():
  """Corners are on centres of pixels and between them, as edges are."""
  random = np.random.RandomState(0)
  points = np.stack(np.meshgrid(np.arange(0, 41, 4.0), np.arange(0, 41, 4.0)), axis=-1)
  points[1:-1, 1:-1] += random.randint(-2, 3, (9, 9, 2)) / 2
  a, b, c, d = points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]
  halves = [np.stack(x, axis=2).reshape(-1, 3, 2) for x in ((a, b, c), (a, c, d))]
  corners = np.concatenate([np.concatenate(halves), np.ones((200, 3, 1))], axis=-1)
  counts = sum(covered(corners[k : k + 1], 42, 42).astype(int) for k in range(len(corners)))
  expected = np.zeros((42, 42), int)
  expected[:40, :40] = 1
  np.testing.assert_array_equal(counts, expected)


def test_the_nearest_triangle_is_seen_in_any_order():
  """A slanted one goes through a level one: at depth 2 they meet."""
  level = triangle((0, 0), (8, 0), (0, 8), depth=2)
  slanted = triangle((0, 0, 1), (8, 0, 4), (0, 8, 1))
  first = rasterise(np.concatenate([level, slanted]), 8, 8)
  second = rasterise(np.concatenate([slanted, level]), 8, 8)
  inside = first.face >= 0
  np.testing.assert_array_equal(first.depth, second.depth)
  np.testing.assert_array_equal(first.face[inside], 1 - second.face[inside])
  x = np.mgrid[:8, :8][1] + 0.5
  slanted_depth = 1 / (1 - x / 8 + x / 8 / 4)  # 1 / depth is even on the screen.
  np.testing.assert_allclose(first.depth[inside], np.minimum(slanted_depth, 2)[inside])
  np.testing.assert_array_equal(first.face == 1, inside & (slanted_depth < 2))


def test_of_equal_depths_the_first_triangle_is_seen():
  twice = np.concatenate([triangle((0, 0), (4, 0), (0, 4))] * 2)
  assert set(np.unique(rasterise(twice, 4, 4).face)) == {-1, 0}


def test_a_corner_in_the_distance_weighs_less():
  """Half way between depths 1 and 3 on the screen is a quarter of the way in space."""
  found = rasterise(triangle((0, 0, 1), (9, 0, 3), (0, 9, 1)), 9, 9)
  np.testing.assert_allclose(found.weights[0, 4], [2 / 3, 1 / 4, 1 / 12])
  np.testing.assert_allclose(found.depth[0, 4], 1.5)
  sums = found.weights.sum(axis=-1)
  np.testing.assert_allclose(sums, found.face >= 0)
  assert np.isinf(found.depth[found.face < 0]).all()


def test_backs_and_what_is_outside_are_not_drawn():
  assert not covered(triangle((0, 0), (0, 4), (4, 0))).any()
  assert not covered(triangle((9, 9), (12, 9), (9, 12))).any()
  assert not covered(triangle((0, 0), (4, 0), (8, 0))).any()
  assert covered(triangle((-20, -20), (60, -20), (-20, 60))).all()
  assert not covered(np.zeros((0, 3, 3))).any()


@pytest.mark.parametrize('seed', range(3))
def test_a_heap_of_triangles_is_what_rays_see(seed):
  """Rays from the eye through the centres, solved as equations, where none passes near an edge."""
  random = np.random.RandomState(seed)
  points = random.uniform(-1, 1, (40, 3, 3)) + np.array([0, 0, 3])
  screen = np.concatenate([points[..., :2] / points[..., 2:] * 40 + 16, points[..., 2:]], axis=-1)
  found = rasterise(screen, 32, 32)
  y, x = (np.mgrid[:32, :32] + 0.5 - 16) / 40
  rays = np.broadcast_to(np.stack([x, y, np.ones_like(x)], axis=-1)[:, :, None], (32, 32, 40, 3))
  a, b, c = np.broadcast_to(points, (32, 32, 40, 3, 3)).transpose(3, 0, 1, 2, 4)
  # depth * ray = a + u (b - a) + v (c - a)
  equations = np.stack([rays, a - b, a - c], axis=-1)
  depth, u, v = np.moveaxis(np.linalg.solve(equations, a[..., None])[..., 0], -1, 0)
  least = np.minimum(np.minimum(u, v), 1 - u - v)
  depth = np.where((least > 0) & (np.linalg.det(points) > 0), depth, np.inf)
  nearest = np.where(np.isinf(depth.min(-1)), -1, depth.argmin(-1))
  clear = (np.abs(least) > 0.02).all(axis=-1)
  assert clear.mean() > 0.3 and len(np.unique(nearest[clear])) > 5
  np.testing.assert_array_equal(found.face[clear], nearest[clear])
  seen = clear & (nearest >= 0)
  np.testing.assert_allclose(found.depth[seen], depth.min(-1)[seen], rtol=0.02)
