"""The step of training: against torch, against passes by hand, and what a recipe changes."""

import dataclasses
import functools
import json
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import perturb
from perturb import nets
from perturb.data.digits import load_digits
from perturb.errors import UserError
from perturb.nets.layers import BatchNorm
from perturb.nets.weights.from_torch import from_torch
from perturb.nets.zoo import untrained
from perturb.training import steps
from perturb.training.mode import forward, norm_grad
from perturb.training.optimisers import adam, cosine, sgd, step_schedule
from perturb.training.recipe import Recipe
from perturb.training.state import start, trained
from tests import fixtures

RECORDED = np.load(pathlib.Path(__file__).parents[1] / 'recorded' / 'training.npz')
KEY = jax.random.key(0)
MEMBERS = np.array([1, 2, 5, 7, 8, 11])  # Of twelve digits.
PLAIN = sgd(1.0, momentum=0, weight_decay=0)  # A step takes the gradient off the weights.


def recorded_net():
  """The network whose training torch has recorded, before it."""
  network = nets.ResNet(**fixtures.TRAINED_NET, basic=True, small=True)
  state = fixtures.torch_like_state(json.loads(str(RECORDED['shapes'])))
  names = tuple('abcde')
  variables = from_torch(network, state, shape=(16, 16, 3))
  return nets.Pretrained(network, variables, 16, nets.PREPROCESSINGS['symmetric'], names)


@pytest.fixture(scope='module')
def net():
  return recorded_net()


@pytest.fixture(scope='module')
def batch():
  images, labels = fixtures.training_batches()
  return images[0], labels[0]


def gradient_of(net, recipe, batch):
  """(what a step takes off the weights, what it measures)."""
  state = start(net, PLAIN, recipe)
  before = jax.tree.map(np.array, state.params)
  after, measured = steps.make_step(net, PLAIN, recipe)(state, *batch, KEY)
  return jax.tree.map(lambda a, b: a - np.asarray(b), before, after.params), measured


def assert_near(found, expected, atol=2e-5):
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=atol), found, expected)


def test_twenty_steps_are_torchs(net):
  """Weights, running statistics and losses of SGD with momentum, decay and falling rates."""
  images, labels = fixtures.training_batches()
  rate = fixtures.TRAINED_SGD['lr']
  schedule = step_schedule(rate, 5, [fall // 5 for fall in fixtures.TRAINED_FALLS])
  rule = sgd(schedule, fixtures.TRAINED_SGD['momentum'], fixtures.TRAINED_SGD['weight_decay'])
  recipe = Recipe(label_smoothing=fixtures.TRAINED_SMOOTHING)
  step, state, losses = steps.make_step(net, rule, recipe), start(net, rule, recipe), []
  for x, y in zip(images, labels, strict=True):
    state, measured = step(state, x, y, KEY)
    losses.append(measured.loss)
  np.testing.assert_allclose(losses, RECORDED['losses'], atol=1e-4)
  after = {name: RECORDED[name] for name in RECORDED.files if name not in ('shapes', 'losses')}
  expected = from_torch(net.network, after, shape=(16, 16, 3))
  found = trained(net, state).variables
  assert set(expected) == {'params', 'batch_stats'}
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found, expected)
  assert int(state.step) == 20


def shared(net, pair, labels, params):
  """Mean loss of two passes whose batch normalisation has the statistics of both."""

  def intercept(call, inputs, named, context):
    module = context.module
    if not isinstance(module, BatchNorm):
      return call(*inputs, **named)
    (x,) = inputs
    mean = jax.lax.pmean(x.mean((0, 1, 2)), 'passes')
    var = jax.lax.pmean(((x - mean) ** 2).mean((0, 1, 2)), 'passes')
    scale, bias = (module.get_variable('params', name) for name in ('scale', 'bias'))
    return (x - mean) / jnp.sqrt(var + module.epsilon) * scale + bias

  def one(x):
    with nn.intercept_methods(intercept):
      logits = net.network.apply({**net.variables, 'params': params}, x)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

  return jax.vmap(one, axis_name='passes')(pair).mean()


def test_a_joint_gradient_is_the_mean_of_two_passes_with_shared_statistics(net, batch):
  recipe = Recipe('hide_and_seek', {'grid': 2, 'keep': 0.0}, joint=True)  # Hides all of the copy.
  gradient, measured = gradient_of(net, recipe, batch)
  x = jnp.asarray(net.preprocess(batch[0]))
  loss = lambda params: shared(net, jnp.stack([x, 0 * x]), batch[1], params)  # noqa: E731
  value, expected = jax.jit(jax.value_and_grad(loss))(net.variables['params'])
  assert_near(gradient, expected)
  assert float(measured.loss) == pytest.approx(float(value), abs=1e-5)


def test_without_occlusion_a_joint_step_is_that_of_the_batch_itself(net, batch):
  assert_near(gradient_of(net, Recipe(joint=True), batch)[0], gradient_of(net, Recipe(), batch)[0])


def test_one_of_each_pair_is_the_image_bit_for_bit(net, batch):
  recipe = Recipe('cutout', {'side': 6}, joint=True, pad=2, flip=True)
  views = jax.jit(steps.make_views(net, recipe))
  x, labels = views(net.variables, *batch, KEY)
  bare = jax.jit(steps.make_views(net, Recipe(pad=2, flip=True)))
  np.testing.assert_array_equal(x[::2], bare(net.variables, *batch, KEY)[0])
  kept = np.asarray(x[1::2] == x[::2]).all(-1)
  assert 0.5 < kept.mean() < 1
  np.testing.assert_array_equal(np.asarray(x[1::2])[~kept], 0)
  np.testing.assert_array_equal(labels, batch[1].repeat(2))


@pytest.fixture(scope='module')
def maps(net, batch):
  """NormGrad of the true classes at `layer1`, by the method for a network under study."""
  x = jnp.asarray(net.preprocess(batch[0]))
  return np.asarray(perturb.norm_grad(net, x, batch[1], 'layer1'))


def test_a_saliency_is_norm_grad_of_the_true_class(net, batch, maps):
  saliency = jax.jit(functools.partial(norm_grad, net.network, layer='layer1'))
  found = saliency(net.variables, net.preprocess(batch[0]), batch[1])
  np.testing.assert_allclose(found, maps, rtol=1e-3, atol=1e-6)


def test_the_salient_square_of_each_image_is_hidden(net, batch, maps):
  options = {'layer': 'layer1', 'side': 5, 'jitter': 0}
  views = jax.jit(steps.make_views(net, Recipe('salient', options)))
  hidden = np.asarray(views(net.variables, *batch, KEY)[0] == 0).all(-1)
  assert [*hidden.sum((1, 2))] == [25] * len(batch[0])
  windows = np.lib.stride_tricks.sliding_window_view(maps, (5, 5), (1, 2)).sum((3, 4))
  np.testing.assert_allclose((maps * hidden).sum((1, 2)), windows.max((1, 2)), rtol=1e-4)


def test_a_smoothed_label_by_hand():
  logits, labels = np.array([[2.0, 0.0, -1.0]], np.float32), np.array([1])
  p = np.exp(logits) / np.exp(logits).sum()
  target = np.array([[0.1 / 3, 0.9 + 0.1 / 3, 0.1 / 3]])
  found = steps.cross_entropy(jnp.asarray(logits), labels, 0.1)
  np.testing.assert_allclose(found, -(target * np.log(p)).sum(1), rtol=1e-6)


def test_the_average_of_the_weights_by_hand(net, batch):
  recipe, rule = Recipe(average=0.25), sgd(0.1)
  step, state = steps.make_step(net, rule, recipe), start(net, rule, recipe)
  average = np.array(state.params['fc']['bias'])
  for decay in (0.1, 2 / 11, 0.25, 0.25):  # (1 + step) / (10 + step), and at most 0.25.
    state, _ = step(state, *batch, KEY)
    average = decay * average + (1 - decay) * np.asarray(state.params['fc']['bias'])
    np.testing.assert_allclose(state.average['fc']['bias'], average, rtol=1e-5)
  averaged = trained(net, state, averaged=True).variables
  np.testing.assert_array_equal(averaged['params']['fc']['bias'], state.average['fc']['bias'])
  assert averaged['batch_stats'] == state.batch_stats


def test_half_precision_stays_near_and_keeps_single_precision_where_it_counts(net, batch):
  recipe = Recipe('salient', {'layer': 'layer1', 'side': 5, 'jitter': 1}, joint=True, half=True)
  rule = sgd(0.01)
  state, measured = steps.make_step(net, rule, recipe)(start(net, rule, recipe), *batch, KEY)
  assert {leaf.dtype for leaf in jax.tree.leaves((state.params, state.batch_stats, measured))} == {
    jnp.dtype('float32')
  }
  whole = dataclasses.replace(recipe, half=False)
  _, expected = steps.make_step(net, rule, whole)(start(net, rule, whole), *batch, KEY)
  assert float(measured.loss) == pytest.approx(float(expected.loss), rel=0.1)


def test_an_epoch_is_its_steps_in_an_order_of_its_own(net):
  images, labels = fixtures.training_batches()
  images, labels = images.reshape(-1, *images.shape[2:])[:24], labels.ravel()[:24]
  recipe, rule, members = Recipe(pad=1), sgd(0.1), np.arange(1, 20)
  epoch = steps.make_epoch(net, rule, recipe, 8)
  state, measured = epoch(start(net, rule, recipe), images, labels, members, KEY)
  order = jax.random.permutation(jax.random.fold_in(jax.random.fold_in(KEY, 0), 4), members)
  step, again, seen = steps.make_step(net, rule, recipe), start(net, rule, recipe), []
  for chosen in np.asarray(order)[:16].reshape(2, 8):
    again, one = step(again, images[chosen], labels[chosen], KEY)
    seen.append(one.loss)
  assert_near(state.params, again.params, 1e-5)
  assert float(measured.loss) == pytest.approx(np.mean(seen), rel=1e-5)
  assert int(state.step) == 2


@pytest.fixture(scope='module')
def digits_epoch():
  """A function of twelve images that returns the parameters after an epoch, and the loss."""
  net = nets.load('mnist', 'random')
  rule = adam(cosine(1e-2, 2))
  epoch, first = steps.make_epoch(net, rule, Recipe(), 3), start(net, rule, Recipe())

  def train(images):
    state, measured = epoch(first, images, np.arange(12) % 10, MEMBERS, KEY)
    return state.params, measured.loss

  return train


def test_bytes_are_trained_on_as_preprocessed_images_are(digits_epoch):
  net, images = nets.load('mnist', 'random'), load_digits().images[::420]
  params, loss = digits_epoch(images)
  expected, expected_loss = digits_epoch(net.preprocess(images))
  np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), params, expected)


def test_an_epoch_sees_its_members_alone(digits_epoch):
  images = load_digits().images[::420].copy()
  params, loss = digits_epoch(images)
  images[np.setdiff1d(np.arange(12), MEMBERS)] = 255
  again, same_loss = digits_epoch(images)
  assert loss == same_loss
  jax.tree.map(np.testing.assert_array_equal, params, again)
  images[MEMBERS[3]] = 255
  assert digits_epoch(images)[1] != loss


def test_predictions_are_those_of_the_members_in_their_order():
  net, images = nets.load('mnist', 'random'), load_digits().images[::420]
  every = np.asarray(net(net.preprocess(images))).argmax(-1)
  found = steps.predictions(net, jnp.asarray(images), jnp.asarray(MEMBERS[::-1]))
  np.testing.assert_array_equal(found, every[MEMBERS[::-1]])


def test_copies_of_a_picture_are_augmented_each_by_itself(net):
  images, labels = fixtures.training_batches()
  recipe, rule = Recipe('cutout', {'side': 8}), sgd(0.1)
  taken = []

  def spying(state, x, y, _):
    taken.append((x.shape, y.shape))
    return state, steps.Measured(jnp.zeros(()), jnp.zeros(()))

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(steps, '_step_of', lambda *_: spying)
    epoch = steps.make_epoch(net, rule, recipe, 4, copies=3)
  epoch(start(net, rule, recipe), images[0], labels[0], np.arange(8), KEY)
  assert taken == [((12, 16, 16, 3), (12,))]
  views = jax.jit(steps.make_views(net, recipe))
  same = images[0][[0, 0, 0]], labels[0][[0, 0, 0]]
  x, _ = views(net.variables, *same, KEY)
  assert not np.array_equal(x[0], x[1]) and not np.array_equal(x[1], x[2])


def test_dropout_acts_in_training_alone(batch):
  network = nets.VGG(groups=((4,), (4,)), hidden=8, classes=5)
  bare = nets.Pretrained(network, {}, 16, nets.PREPROCESSINGS['symmetric'], tuple('abcde'))
  random = np.random.RandomState(0)
  shapes = jax.eval_shape(network.init, KEY, jnp.zeros((1, 16, 16, 3)))
  variables = jax.tree.map(lambda leaf: np.float32(0.3 * random.randn(*leaf.shape)), shapes)
  net = dataclasses.replace(bare, variables=variables)
  rule = sgd(0.0)
  step = steps.make_step(net, rule, Recipe())
  losses = [step(start(net, rule, Recipe()), *batch, jax.random.key(i))[1].loss for i in (0, 0, 1)]
  assert losses[0] == losses[1] != losses[2]
  evaluate = steps.make_evaluate(net)
  every = np.ones(8, bool)
  assert evaluate(variables, *batch, every).loss == evaluate(variables, *batch, every).loss


def test_drop_block_drops_on_both_branches(net, batch):
  """Where nearly all of both is dropped, hardly anything is left above the sum."""
  x = jnp.asarray(net.preprocess(batch[0]))

  def zeros_above(kind):
    recipe = Recipe(
      dropout=kind, dropout_keep=0.05, dropout_block=3, dropout_layers=('layer1.0.add',)
    )
    sites = steps.sites_of(recipe, net.network)
    run = functools.partial(forward, net.network, key=KEY, sites=sites, stop='layer1.0.add')
    output, _ = jax.jit(run)(net.variables, x)
    return float((output == 0).mean())

  assert zeros_above('drop_block') > 0.5
  assert zeros_above('spatial_dropout') < 0.5  # The shortcut stays.


def test_a_state_shares_nothing_with_its_network(net):
  """A step overwrites its state."""
  state = start(net, sgd(0.1), Recipe(average=0.9))
  arrays = jax.tree.leaves((state.params, state.batch_stats, state.average, net.variables))
  places = [array.unsafe_buffer_pointer() for array in map(jnp.asarray, arrays)]
  assert len({*places}) == len(places)


def test_right_answers_are_counted_over_the_valid_images():
  net = untrained('mnist', [str(i) for i in range(10)])
  random = np.random.RandomState(2)
  images, labels = random.randint(0, 256, (9, 28, 28, 3)).astype(np.uint8), random.randint(0, 10, 9)
  valid = np.arange(9) != 4
  logits = np.asarray(net(net.preprocess(images)))
  ranks = (-logits).argsort(1).argsort(1)[np.arange(9), labels]
  found = steps.make_evaluate(net)(net.variables, images, labels, valid)
  assert (int(found.top1), int(found.top5)) == ((ranks[valid] < 1).sum(), (ranks[valid] < 5).sum())
  losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(9), labels]
  assert float(found.loss) == pytest.approx(losses[valid].sum(), rel=1e-4)
  broken = jax.tree.map(lambda leaf: leaf * np.nan, net.variables)
  assert int(steps.make_evaluate(net)(broken, images, labels, valid).top5) == 0


def test_a_layer_that_is_not_there_is_refused_before_anything_is_computed(net):
  recipe = Recipe('salient', {'layer': 'layer7', 'side': 5})
  with pytest.raises(UserError, match="ResNet has no layer 'layer7'"):
    steps.make_step(net, PLAIN, recipe)


def test_shifts_and_mirrors_move_whole_images():
  images = np.float32(np.random.RandomState(0).rand(64, 6, 7, 2) + 1)
  moved = np.asarray(jax.jit(steps.shifted, static_argnums=2)(KEY, images, 2))
  padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
  offsets = set()
  for image, whole in zip(moved, padded, strict=True):
    tried = [(i, j) for i in range(5) for j in range(5)]
    found = [(i, j) for i, j in tried if (whole[i : i + 6, j : j + 7] == image).all()]
    assert len(found) == 1
    offsets |= {*found}
  assert len(offsets) > 15
  mirrored = np.asarray(jax.jit(steps.flipped)(KEY, images))
  same, turned = ((mirrored == each).all((1, 2, 3)) for each in (images, images[:, :, ::-1]))
  assert (same ^ turned).all() and 16 < turned.sum() < 48


def test_schedules_by_hand():
  stepped = step_schedule(1.0, 10, (3, 6), 0.1, warmup=4)
  assert [float(stepped(i)) for i in (0, 1, 3, 29)] == pytest.approx([0.25, 0.5, 1, 1])
  assert [float(stepped(i)) for i in (30, 59, 60)] == pytest.approx([0.1, 0.1, 0.01])
  assert [float(cosine(2.0, 8)(i)) for i in (0, 4, 8)] == pytest.approx([2, 1, 0], abs=1e-6)
