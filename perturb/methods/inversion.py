"""Images that a network sees as the same: feature inversion, maximal activation, caricatures.

Sources: Fong, Patrick and Vedaldi, "Understanding Deep Networks via Extremal Perturbations and
Smooth Masks", ICCV 2019, eq. 12; Olah, Mordvintsev and Schubert, "Feature Visualization", Distill
2017; Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting Them", CVPR
2015 (`pixel_inversion`). Shapes: N images, a layer of h x w x c.
"""

from collections.abc import Callable, Sequence
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from perturb.base import Images, check_images, key_or_default
from perturb.compiled import compiled
from perturb.errors import UserError
from perturb.nets.layer_gradients import network_of, refuse_rules
from perturb.nets.pretrained import Pretrained
from perturb.ops.fourier import images_of, random_spectra
from perturb.ops.masks import total_variation
from perturb.ops.views import random_view
from perturb.options import checked

LEAST_COSINE = 0.1  # Below it the weight of the cosine does not fall.


class Inversion(NamedTuple):
  """Optimised images.

  Attributes:
    images: RGB `[N, H, W, 3]` in [0, 1].
    values: `[N, T]`, what was maximised (or, for `pixel_inversion`, minimised) at each step.
  """

  images: jax.Array
  values: jax.Array


@dataclasses.dataclass(frozen=True)
class _Ascent:
  """How an objective is climbed; see `feature_inversion`."""

  steps: int
  learning_rate: float
  decay: float
  robust: bool


def _climb(
  net: Pretrained,
  objective: Callable[[jax.Array], jax.Array],
  key: jax.Array,
  count: int,
  s: _Ascent,
) -> Inversion:
  """Maximises an objective `[N]` of the network's input `[N, H, W, C]` over spectra."""
  size = (net.size, net.size)
  start_key, view_key = jax.random.split(key)
  # The same start for every image: a result does not depend on what it is batched with.
  spectra = jnp.repeat(random_spectra(start_key, 1, size), count, axis=0)
  optimiser = optax.adam(s.learning_rate)

  def loss(spectra, step):
    images = images_of(spectra, size, s.decay)
    if s.robust:
      images = random_view(jax.random.fold_in(view_key, step), images)
    values = objective(net.preprocessing.from_unit(images))
    return -values.sum(), values

  def iterate(step, carry):
    spectra, state, history = carry
    slope, values = jax.grad(loss, has_aux=True)(spectra, step)
    updates, state = optimiser.update(slope, state)
    return optax.apply_updates(spectra, updates), state, history.at[:, step].set(values)

  start = (spectra, optimiser.init(spectra), jnp.zeros((count, s.steps), jnp.float32))
  spectra, _, history = jax.lax.fori_loop(0, s.steps, iterate, start)
  return Inversion(images_of(spectra, size, s.decay), history)


@compiled
def _invert(net, activations, key, *, layer, power, ascent):
  wanted = activations.reshape(activations.shape[0], -1)

  def objective(x):
    found = net.activations(x, (layer,))[layer].reshape(wanted.shape)
    dot = (wanted * found).sum(1)
    cosine = dot / jnp.maximum(jnp.linalg.norm(found, axis=1), 1e-6)
    return dot * jnp.maximum(cosine, LEAST_COSINE) ** power if power else dot

  return _climb(net, objective, key, len(activations), ascent)


@checked
def feature_inversion(
  net: Pretrained,
  activations: jax.Array,
  layer: str,
  *,
  key: jax.Array | None = None,
  power: float = 0.0,
  steps: int = 512,
  learning_rate: float = 0.05,
  decay: float = 1.0,
  robust: bool = True,
) -> Inversion:
  """I* = argmax a . Phi_l(I), for activations a, e.g. m_a* (x) Phi_l(x) (eq. 12).

  Args:
    net: a network of `perturb.nets`.
    activations: `[N, h, w, c]` of the layer, for an image of the network's size.
    layer: name of the layer l.
    key: PRNG key of the start and of the views, the same for every image; `jax.random.key(0)` by
      default.
    power: p of a . Phi_l(I) max(0.1, a . Phi_l(I) / ||Phi_l(I)||)^p; more keeps closer to a's
      direction.
    steps: T, number of Adam's iterations.
    learning_rate: step size of Adam, in the units of the spectrum.
    decay: exponent by which high frequencies count less, see `perturb.ops.fourier.images_of`.
    robust: whether each step sees a random shift, scale and rotation.

  Returns:
    An `Inversion`.

  Raises:
    UserError: for an unknown layer, or activations of another shape.
  """
  net = network_of(net, 'feature inversion')
  refuse_rules(net, 'feature inversion')
  activations = jnp.asarray(activations, jnp.float32)
  shape = net.shapes([layer])[layer].shape[1:]
  if activations.shape[1:] != shape:
    raise UserError(f'activations must be [N, {", ".join(map(str, shape))}] at {layer}')
  return _invert(
    net,
    activations,
    key_or_default(key),
    layer=layer,
    power=power,
    ascent=_Ascent(steps, learning_rate, decay, robust),
  )


def caricature(
  net: Pretrained, x: Images, layer: str, *, power: float = 0.0, **options
) -> Inversion:
  """The feature inversion of what the layer makes of preprocessed images `[N, H, W, C]`.

  See `feature_inversion` for the options and errors.
  """
  net = network_of(net, 'a caricature')
  refuse_rules(net, 'a caricature')
  activations = net.activations(check_images(x), [layer])[layer]
  return feature_inversion(net, activations, layer, power=power, **options)


@compiled
def _maximise(net, channels, key, *, layer, ascent):
  def objective(x):
    found = net.activations(x, (layer,))[layer]
    means = found.reshape(found.shape[0], -1, found.shape[-1]).mean(1)
    return jnp.take_along_axis(means, channels[:, None], axis=1)[:, 0]

  return _climb(net, objective, key, len(channels), ascent)


@checked
def activation_maximisation(
  net: Pretrained,
  layer: str,
  channels: Sequence[int],
  *,
  key: jax.Array | None = None,
  steps: int = 512,
  learning_rate: float = 0.05,
  decay: float = 1.0,
  robust: bool = True,
) -> Inversion:
  """I_k = argmax of the spatial mean of channel k of a layer, for each of some channels.

  At the layer of the logits: an image of a class. See `feature_inversion` for the other arguments.

  Returns:
    An `Inversion` with an image for each channel.

  Raises:
    UserError: for an unknown layer or channel.
  """
  net = network_of(net, 'activation maximisation')
  refuse_rules(net, 'activation maximisation')
  found = net.shapes([layer])[layer].shape[-1]
  for channel in channels:
    if not 0 <= channel < found:
      raise UserError(f'{layer} has channels 0 to {found - 1}, not {channel}')
  return _maximise(
    net,
    jnp.asarray(channels, jnp.int32),
    key_or_default(key),
    layer=layer,
    ascent=_Ascent(steps, learning_rate, decay, robust),
  )


@compiled
def _invert_pixels(net, activations, key, *, layer, steps, learning_rate, weights, shape):
  wanted = activations.reshape(activations.shape[0], -1)
  size = jnp.square(wanted).sum(1)
  optimiser = optax.sgd(
    optax.piecewise_constant_schedule(learning_rate, {steps // 2: 0.1}), momentum=0.9
  )

  def loss(x):
    found = net.activations(x, (layer,))[layer].reshape(wanted.shape)
    channels = jnp.moveaxis(x, -1, 1)
    losses = (
      jnp.square(found - wanted).sum(1) / size
      + weights[0] * (jnp.abs(x) ** 6).sum((1, 2, 3))
      + weights[1] * total_variation(channels, 2.0).sum(1)
    )
    return losses.sum(), losses

  def iterate(step, carry):
    x, state, history = carry
    slope, losses = jax.grad(loss, has_aux=True)(x)
    updates, state = optimiser.update(slope, state)
    return optax.apply_updates(x, updates), state, history.at[:, step].set(losses)

  x = 1e-3 * jnp.repeat(jax.random.normal(key, (1, *shape), jnp.float32), len(activations), axis=0)
  start = (x, optimiser.init(x), jnp.zeros((len(activations), steps), jnp.float32))
  return jax.lax.fori_loop(0, steps, iterate, start)[::2]


@checked
def pixel_inversion(
  net: Pretrained,
  x: Images,
  layer: str,
  *,
  key: jax.Array | None = None,
  steps: int = 200,
  learning_rate: float = 100.0,
  norm_weight: float = 1e-5,
  tv_weight: float = 1e-5,
) -> Inversion:
  """min_I ||Phi_l(I) - Phi_l(x)||^2 / ||Phi_l(x)||^2 + w_n ||I||_6^6 + w_tv TV(I), over pixels.

  By SGD with momentum 0.9, at a tenth of the rate from the middle on, from faint noise; I in the
  units of the network's input.

  Args:
    net: a network of `perturb.nets`.
    x: preprocessed images `[N, H, W, C]`, or one `[H, W, C]`.
    layer: name of the layer l.
    key: PRNG key of the start, the same for every image; `jax.random.key(0)` by default.
    steps: T, number of SGD's iterations.
    learning_rate: how far a unit of gradient moves a pixel, in the units of the network's input.
    norm_weight: w_n, what the sixth power of the 6-norm counts.
    tv_weight: w_tv, what the sum of squared differences between neighbouring pixels counts.

  Returns:
    An `Inversion`; its images cut to [0, 1].

  Raises:
    UserError: for an unknown layer.
  """
  net = network_of(net, 'pixel inversion')
  refuse_rules(net, 'pixel inversion')
  x = check_images(x)
  activations = net.activations(x, [layer])[layer]
  found, losses = _invert_pixels(
    net,
    activations,
    key_or_default(key),
    layer=layer,
    steps=steps,
    learning_rate=learning_rate,
    weights=(norm_weight, tv_weight),
    shape=tuple(x.shape[1:]),
  )
  return Inversion(net.preprocessing.to_unit(found), losses)
