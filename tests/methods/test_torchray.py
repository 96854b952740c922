"""Against what torch and TorchRay computed once: see tests/record.py."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.data.images import find_images, load_image
from perturb.methods.extremal import extremal_perturbation
from perturb.methods.extremal_solvers import MODES
from perturb.ops.masks import smooth_max_conv
from perturb.ops.perturbations import blur_pyramid
from tests import fixtures

RECORDED = pathlib.Path(__file__).parents[1] / 'recorded'
TORCHRAY = np.load(RECORDED / 'torchray.npz')


def small_network(x):
  for kernel, bias, stride in fixtures.small_weights():
    x = jax.lax.conv_general_dilated(
      x, kernel, (stride, stride), 'VALID', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    x = jax.nn.softplus(x + bias)
  return x.mean((1, 2))


def test_mask_generator():
  lattice = dataclasses.replace(MODES['torchray'], step=2).lattice((32, 32))
  masks = smooth_max_conv(jnp.asarray(fixtures.small_parameters()), lattice)
  np.testing.assert_allclose(masks, TORCHRAY['masks'], atol=1e-5)


def test_pyramid():
  pyramid = blur_pyramid(jnp.asarray(fixtures.small_image()), normalised=False)
  np.testing.assert_allclose(pyramid, TORCHRAY['pyramid'], atol=1e-6)


@pytest.mark.parametrize(
  ('game', 'variant'), [('preserve', 'preserve'), ('delete', 'delete'), ('hybrid', 'dual')]
)
def test_fifty_iterations(game, variant):
  result = extremal_perturbation(
    small_network,
    fixtures.small_image(),
    fixtures.SMALL_TARGET,
    fixtures.SMALL_AREAS,
    mode='torchray',
    iterations=50,
    step=2,
    game=game,
    start=fixtures.small_parameters()[None],
  )
  rewards, penalties = np.moveaxis(TORCHRAY[f'{variant}_energies'], 1, 0)
  weights = 300 * 1.0035 ** np.arange(50)
  np.testing.assert_allclose(result.rewards[0], rewards, atol=1e-4)
  np.testing.assert_allclose(-weights * result.area_losses[0], penalties, atol=1e-4)
  np.testing.assert_allclose(result.masks[0], TORCHRAY[f'{variant}_mask'], atol=1e-4)


def test_efficientnet_lite0_gives_torchs_logits_and_activations(lite0):
  recorded = np.load(RECORDED / 'photographs.npz')
  sources, _ = find_images('chelsea, coffee, camera')
  x = jnp.stack([lite0.preprocess(load_image(source.path, size=224)) for source in sources])
  np.testing.assert_allclose(lite0(x), recorded['logits'], atol=1e-4)
  for layer in ('blocks.0', 'blocks.5', 'blocks.15'):
    activations = lite0.part(stop=layer)(x)[:, :3, :3]
    np.testing.assert_allclose(activations, recorded[layer], atol=1e-4)
