"""Vectors that segment: PyTorch's steps, and that all together are as each alone."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from concepts.binarised import Bits, Lists, binarised
from concepts.concept_vectors import leave_one_out, start_vectors, top_filters, train_vectors
from concepts.labelled_pairs import alphas
from concepts.vector_steps import pixel_loss
from perturb.errors import UserError
from tests.concepts.vector_problem import SIZE, H, K, W, active, pairs_of, problem

RECORDED = pathlib.Path(__file__).parents[1] / 'recorded' / 'concept_vectors.npz'
OPTIONS = {'batch_size': 3, 'learning_rate': 0.05}


def trained(concept=(0, 1, 2), *, form='lists', state=None, epochs=3, mask=None, **options):
  packed, pairs = problem()
  state = state or start_vectors(concept, K, mask=mask, key=4)
  return train_vectors(state, binarised(packed, K, form), pairs, epochs=epochs, **OPTIONS | options)


@pytest.mark.parametrize('corners', [True, False])
@pytest.mark.parametrize(('loss', 'rate'), [('overlap', 0.05), ('bce', 0.01)])
def test_the_steps_are_those_of_pytorch(loss, rate, corners):
  """7 pictures in batches of 3: steps 3, 6 and 9 are of a batch of one."""
  recorded = np.load(RECORDED)
  steps = recorded[f'{loss}_{"corners" if corners else "cells"}']
  state = start_vectors([0], K)._replace(weights=recorded['weights'][None])
  options = {'loss': loss, 'learning_rate': rate, 'align_corners': corners}
  for last in (2, 5, 8):
    state = trained(state=state, epochs=1, **options)
    np.testing.assert_allclose(state.weights[0], steps[last], atol=1e-4)


@pytest.mark.parametrize(('order', 'concept'), [('released', 0), ('shuffled', 1), ('shuffled', 2)])
def test_together_is_as_alone(order, concept):
  """Concepts of 7, 2 and 4 pictures, in batches of 3: they take 3, 1 and 2 steps an epoch."""
  together, alone = (trained(some, order=order).weights for some in ((0, 1, 2), [concept]))
  np.testing.assert_allclose(together[concept], alone[0], atol=1e-5)
  assert np.abs(alone - start_vectors([concept], K, key=4).weights).max() > 0.1


@pytest.mark.parametrize('options', [{'form': 'bits', 'side_by_side': 2}, {'at_once': 2}])
def test_how_the_work_is_laid_out_does_not_matter(options):
  np.testing.assert_allclose(trained(**options).weights, trained().weights, atol=1e-5)


@pytest.mark.parametrize('order', ['released', 'shuffled'])
def test_it_goes_on_where_it_was(order):
  unbroken = trained(order=order)
  halted = jax.tree.map(np.array, trained(order=order, epochs=1))
  resumed = trained(order=order, state=halted, epochs=2)
  jax.tree.map(np.testing.assert_array_equal, resumed, unbroken)
  assert unbroken.epoch == 3


def test_shuffled_is_another_order_in_each_epoch_and_for_each_key():
  once = [np.asarray(trained([0], order=order).weights) for order in ('released', 'shuffled')]
  assert np.abs(once[0] - once[1]).max() > 1e-3


def test_each_epoch_goes_through_every_picture_of_the_concept():
  """Where one batch has them all, their order does not matter."""
  of_order = [trained([0], order=order, batch_size=7) for order in ('released', 'shuffled')]
  np.testing.assert_allclose(of_order[0].weights, of_order[1].weights, atol=1e-5)


def test_the_loss_by_hand():
  chance = np.array([0.2, 0.9])
  scores, labels = np.log(chance / (1 - chance)), np.array([1.0, 0.0])
  found = pixel_loss(scores, labels, 0.7, 0.3, 'overlap')
  np.testing.assert_allclose(found, [-0.7 * 0.2, -0.3 * 0.1], rtol=1e-5)
  found = pixel_loss(scores, labels, 0.7, 0.3, 'bce')
  np.testing.assert_allclose(found, [-0.7 * np.log(0.2), -0.3 * np.log(0.1)], rtol=1e-5)


def test_the_slope_of_the_overlap_in_the_mask_is_constant():
  """d loss / d M = -(alpha L - (1 - alpha) (1 - L)), whatever M is."""
  scores = jnp.linspace(-3, 3, 7)
  for label, expected in ((1.0, -0.7), (0.0, 0.3)):
    loss = functools.partial(
      lambda label, z: pixel_loss(z, label, 0.7, 0.3, 'overlap').sum(), jnp.full(7, label)
    )
    chance = jax.nn.sigmoid(scores)
    slope = jax.grad(loss)(scores) / (chance * (1 - chance))
    np.testing.assert_allclose(slope, np.full(7, expected), rtol=1e-4)


def test_alphas_by_hand_and_a_concept_that_fills_its_pictures():
  masks = np.zeros((3, *SIZE), bool)
  masks[0, 0, :4], masks[1, 0, :9], masks[2] = True, True, True
  pairs = pairs_of([5, 5, 8], [0, 1, 2], masks)
  np.testing.assert_allclose(alphas(pairs, [8, 5, 6]), [0, 1 - 6.5 / (9 * 13), np.nan], rtol=1e-6)
  state = train_vectors(
    start_vectors([8], K), binarised(np.packbits(active(), -1), K), pairs, **OPTIONS
  )
  used = active()[2].any((0, 1))
  moved = np.asarray(state.weights - start_vectors([8], K).weights)[0]
  assert (moved[used] > 0).all()
  np.testing.assert_array_equal(moved[~used], 0)


def test_filters_that_are_masked_stay_out():
  """They might as well not be there."""
  mask = np.zeros((1, K), bool)
  mask[0, [1, 4, 7]] = True
  state = trained([0], mask=mask)
  np.testing.assert_array_equal(state.weights[~mask], 0)
  first = start_vectors([0], 3)._replace(
    weights=start_vectors([0], K, mask=mask, key=4).weights[:, [1, 4, 7]]
  )
  packed, pairs = problem()
  fewer = np.unpackbits(packed, axis=-1, count=K)[..., [1, 4, 7]]
  alone = train_vectors(
    first, binarised(np.packbits(fewer, axis=-1), 3), pairs, epochs=3, **OPTIONS
  )
  np.testing.assert_allclose(state.weights[mask], alone.weights[0], atol=1e-5)


def test_masks_of_filters():
  found = top_filters(np.array([[0.1, -3, 3, 0.2], [0, 0, 0, 1]]), 2)
  np.testing.assert_array_equal(found, [[0, 1, 1, 0], [1, 0, 0, 1]])
  np.testing.assert_array_equal(leave_one_out(3), [[0, 1, 1], [1, 0, 1], [1, 1, 0]])


def test_several_vectors_of_a_concept():
  """Each with a filter less, as alone."""
  masks = leave_one_out(K)[:2]
  both = trained([1, 1], mask=masks)
  one = trained([1], mask=masks[1:])
  np.testing.assert_allclose(both.weights[1], one.weights[0], atol=1e-5)


def test_a_planted_filter_has_the_largest_weight():
  """Filter 6 is the concept, at the labels' resolution; the others are noise."""
  bits = active(10)
  masks = bits[..., 6].copy()
  pairs = pairs_of(np.zeros(10, int), np.arange(10), masks)
  state = train_vectors(
    start_vectors([0], K),
    binarised(np.packbits(bits, axis=-1), K),
    pairs,
    epochs=20,
    learning_rate=0.05,
  )
  weights = np.asarray(state.weights[0])
  assert weights.argmax() == 6
  assert weights[6] > 3 * np.abs(np.delete(weights, 6)).max()


def test_the_first_weights_are_uniform():
  weights = np.asarray(start_vectors(np.arange(50), 100, key=1).weights)
  assert np.abs(weights).max() <= 0.1
  np.testing.assert_allclose(weights.std(), 0.1 / 3**0.5, rtol=0.02)
  np.testing.assert_array_equal(start_vectors([7], 100, key=1).weights[0], weights[7])


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'loss': 'hinge'}, 'loss must be one of overlap, bce'),
    ({'order': 'random'}, 'order must be one of released, shuffled'),
    ({'concept': [0, 9]}, 'concept 9 has no picture to train on'),
    ({'batch_size': 0}, 'batch_size is 0'),
    ({'mask': np.ones((3, 4))}, 'mask must be bool'),
    ({'state': start_vectors([0], 4)}, 'vectors of 4 filters, activations of 11'),
  ],
)
def test_what_is_wrong_is_named(options, message):
  with pytest.raises(UserError, match=message):
    trained(**options)


def test_pairs_of_missing_pictures_are_refused():
  packed, pairs = problem()
  with pytest.raises(UserError, match='there are 2'):
    train_vectors(start_vectors([0], K), binarised(packed[:2], K), pairs)


def test_activations_of_another_form_are_refused():
  packed = np.packbits(active(), axis=-1)
  with pytest.raises(UserError, match=r'must be uint8 \[n, h, w, 1\] for 8 filters'):
    binarised(packed, 8)
  with pytest.raises(UserError, match='form must be one of lists, bits'):
    binarised(packed, K, 'dense')
  with pytest.raises(UserError, match='active positions, not 4 at most'):
    binarised(packed, K, 'lists', entries=4)


def test_one_full_picture_makes_bits_of_all():
  """64 filters on 8 x 8: the bits take 512 bytes a picture, an entry of a list takes 4."""
  few = np.zeros((5, 8, 8, 64), bool)
  few[:, 0, :, 0] = True
  few[2].reshape(-1)[:512] = True
  assert isinstance(binarised(np.packbits(few, axis=-1), 64), Lists)
  few[2].reshape(-1)[:513] = True  # 1024 entries: 4096 bytes, in place of 2048.
  assert isinstance(binarised(np.packbits(few, axis=-1), 64), Bits)
  assert isinstance(binarised(np.packbits(few, axis=-1), 64, 'lists'), Lists)


@pytest.mark.parametrize('form', ['lists', 'bits'])
def test_sums_over_filters(form):
  bits, weights = active(), np.random.RandomState(0).randn(K).astype(np.float32)
  found = binarised(np.packbits(bits, axis=-1), K, form)
  assert found.shape == (10, H, W, K)
  index = np.array([3, 3, 9])
  sums = jax.jit(lambda b, w: b.combine(jnp.asarray(index), w))(found, weights)
  np.testing.assert_allclose(sums, bits[index] @ weights, atol=1e-5)
