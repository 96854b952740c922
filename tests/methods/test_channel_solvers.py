"""Elimination where the best masks are known: by a formula, or by trying every mask."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.base import pick
from perturb.errors import UserError
from perturb.methods.channel_solvers import Elimination, eliminate
from perturb.methods.channels import channel_attribution
from tests.small_net import IMAGES, TARGETS, small_net

EVERY = np.array(list(itertools.product((0, 1), repeat=8)), np.float32)
COUNTS = tuple(range(1, 9))


def solved(value, channels, counts, **settings):
  """The masks of one problem, `[A, K]`."""
  masks = eliminate(value, 1, channels, jnp.asarray(counts), Elimination(**settings))
  return np.asarray(masks[0])


def test_of_contributions_that_add_up_the_largest_are_kept():
  shares = jax.random.normal(jax.random.key(0), (40,))
  masks = solved(lambda m: m @ shares, 40, [1, 7, 39, 40], candidates=1)
  ranks = np.argsort(np.argsort(-np.asarray(shares)))
  np.testing.assert_array_equal(masks, [ranks < count for count in (1, 7, 39, 40)])


def redundant(masks):
  """Either of the channels 0 and 1 is enough for 10; the two others add 1 and 2."""
  return 10 * jnp.minimum(1.5 * masks[..., :2].sum(-1), 1) + masks[..., 2:] @ jnp.array([1.0, 2])


def test_channels_that_stand_in_for_each_other_are_not_both_dropped():
  """The gradient of the last of the two is zero too: only a trial shows what it is worth."""
  by_gradient = solved(redundant, 4, [2], candidates=1, sweeps=1, swaps=0)
  np.testing.assert_array_equal(by_gradient, [[0, 0, 1, 1]])
  tried = solved(redundant, 4, [1, 2, 3], candidates=2, sweeps=1, swaps=0)
  np.testing.assert_array_equal(tried, [[0, 1, 0, 0], [0, 1, 0, 1], [0, 1, 1, 1]])


def test_an_exchange_brings_back_what_was_dropped():
  swapped = solved(redundant, 4, [2], candidates=1, sweeps=1, swaps=1)
  np.testing.assert_array_equal(swapped, [[1, 0, 0, 1]])


def test_of_equal_channels_the_first_moves():
  shares = jnp.array([1.0, 2, 1, 2, 1])
  np.testing.assert_array_equal(
    solved(lambda m: m @ shares, 5, [1, 3], sweeps=1), [[0, 0, 0, 1, 0], [0, 1, 0, 1, 1]]
  )
  rounded = lambda m: m @ (shares + jnp.array([0, 0, 0, 0, 2e-7]))  # noqa: E731
  np.testing.assert_array_equal(solved(rounded, 5, [3], sweeps=1), [[0, 1, 0, 1, 1]])


def pairs(masks):
  """Channels 0 and 1 together are worth most, and nothing each; 2 and 3 are worth something."""
  return 5 * masks[..., 0] * masks[..., 1] + masks[..., 2] * 3 + masks[..., 3] * 1.5


def test_masks_of_two_counts_need_not_be_nested():
  masks = solved(pairs, 4, [1, 2, 3])
  np.testing.assert_array_equal(masks, [[0, 0, 1, 0], [1, 1, 0, 0], [1, 1, 1, 0]])


def test_a_mask_does_not_depend_on_the_other_counts():
  weights = jax.random.normal(jax.random.key(1), (12, 12))
  value = lambda m: jnp.sin(m @ weights).sum(-1)  # noqa: E731
  for sweeps in (2, 3):
    together = solved(value, 12, range(1, 13), candidates=3, sweeps=sweeps)
    np.testing.assert_array_equal(together.sum(1), range(1, 13))
    for count in (1, 5):
      alone = solved(value, 12, [count], candidates=3, sweeps=sweeps)
      np.testing.assert_array_equal(alone[0], together[count - 1])


def test_another_sweep_never_lowers_a_value():
  weights = jax.random.normal(jax.random.key(2), (12, 12))
  value = lambda m: jnp.sin(m @ weights).sum(-1)  # noqa: E731
  values = [
    value(solved(value, 12, range(1, 13), candidates=3, sweeps=sweeps, swaps=0))
    for sweeps in range(1, 6)
  ]
  assert (np.diff(values, axis=0) >= -1e-5).all() and (values[-1] > values[0] + 0.1).any()


@functools.cache
def every_score():
  """Of relu1 under each of the 256 masks, `[B, 256]`."""
  net, activations = small_net(), small_net().activations(IMAGES, ['relu1'])['relu1']
  above = net.part(start='relu1')
  return np.stack(
    [
      pick(above(EVERY[:, None, None] * activations[i]), np.full(len(EVERY), TARGETS[i]))
      for i in range(len(IMAGES))
    ]
  )


@pytest.mark.parametrize('game', ['preserve', 'delete', 'hybrid'])
def test_no_mask_of_a_small_layer_is_better(game):
  kept = every_score()
  deleted = kept[:, ::-1]  # Under 1 - m.
  value = {'preserve': kept, 'delete': -deleted, 'hybrid': kept - deleted}[game]
  result = channel_attribution(small_net(), IMAGES, TARGETS, 'relu1', COUNTS, game=game)
  masks = np.asarray(result.masks)
  np.testing.assert_array_equal(np.sort(masks, axis=2)[:, :, ::-1], np.tril(np.ones((2, 8, 8))))
  found = (masks @ 2 ** np.arange(7, -1, -1)).astype(int)
  rows = np.arange(2)[:, None]
  np.testing.assert_allclose(result.scores, kept[rows, found], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(result.deleted_scores, deleted[rows, found], rtol=1e-4, atol=1e-5)
  for i, count in enumerate(COUNTS):
    best = value[:, EVERY.sum(1) == count].max(1)
    np.testing.assert_allclose(value[[0, 1], found[:, i]], best, rtol=1e-4, atol=1e-5)


def test_a_mask_does_not_depend_on_the_batch_or_the_chunk():
  layer, areas = 'relu2', [1, 3, 6]
  images, targets = np.concatenate([IMAGES, IMAGES[:, ::-1]]), np.tile(TARGETS, 2)
  usual = channel_attribution(small_net(), images, targets, layer, areas)
  order = [2, 0, 3, 1]
  for chunk in (3, 40):  # Of 12 candidates of 4 images.
    turned = channel_attribution(
      small_net(), images[order], targets[order], layer, areas, chunk=chunk
    )
    np.testing.assert_array_equal(turned.masks, usual.masks[jnp.array(order)])
  alone = channel_attribution(small_net(), images[2], targets[2], layer, areas)
  np.testing.assert_array_equal(alone.masks[0], usual.masks[2])


def test_errors():
  net = small_net()
  with pytest.raises(UserError, match="mode 'elimination' has no setting 'iterations'; it has can"):
    channel_attribution(net, IMAGES, 0, iterations=3)
  with pytest.raises(UserError, match="mode 'paper' has no setting 'sweeps'"):
    channel_attribution(net, IMAGES, 0, mode='paper', sweeps=3)
  with pytest.raises(UserError, match="mode 'papr' is not known; did you mean 'paper'"):
    channel_attribution(net, IMAGES, 0, mode='papr')
  with pytest.raises(
    UserError, match="mode 'elimination': candidates must be a whole number, at l"
  ):
    channel_attribution(net, IMAGES, 0, candidates=0)
