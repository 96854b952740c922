"""The shapes of the flower's parts."""

import numpy as np
import pytest

from perturb.data.flower_parts import PARTS, cross, dot, part


def volume(mesh):
  """By the divergence theorem; corners are clockwise from outside."""
  a, b, c = np.moveaxis(mesh.corners, 1, 0)
  return -(a * np.cross(b, c)).sum() / 6


@pytest.mark.parametrize('name', PARTS)
def test_normals_look_outwards(name):
  mesh = part(name)
  np.testing.assert_allclose((mesh.normals**2).sum(axis=-1), 1)
  a, b, c = np.moveaxis(mesh.corners, 1, 0)
  outwards = -np.cross(b - a, c - a)
  alike = (outwards[:, None] * mesh.normals).sum(-1) / np.linalg.norm(outwards, axis=-1)[:, None]
  assert np.median(alike) > 0.9 and (alike > 0).mean() > 0.99


@pytest.mark.parametrize('name', ['leaves', 'petals', 'disc', 'balls'])
def test_what_is_round_is_closed(name):
  """Each edge is that of two triangles, once in each direction; so the middle does not matter."""
  mesh = part(name)
  moved = mesh._replace(corners=mesh.corners + np.arange(1.0, 4))
  assert volume(mesh) > 0
  np.testing.assert_allclose(volume(moved), volume(mesh), rtol=1e-6)


def test_balls_are_round():
  mesh = part('balls')
  expected = 7 * 4 / 3 * np.pi * 0.045**3
  assert 0.93 * expected < volume(mesh) < expected
  first = mesh._replace(corners=mesh.corners[:396], normals=mesh.normals[:396])
  middle = np.unique(first.corners.reshape(-1, 3), axis=0).mean(axis=0)
  np.testing.assert_allclose(first.normals, (first.corners - middle) / 0.045, atol=0.06)


def test_products_of_vectors_are_those_of_numpy():
  a, b = np.random.RandomState(0).randn(2, 5, 3)
  np.testing.assert_allclose(cross(a, b), np.cross(a, b))
  np.testing.assert_allclose(dot(a, b), (a * b).sum(-1))
