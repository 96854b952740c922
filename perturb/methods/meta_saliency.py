"""Meta-saliency: any method, on the network after one step of training on the image itself.

Source: Rebuffi, Fong, Ji and Vedaldi, "There and Back Again: Revisiting Backpropagation Saliency
Methods", CVPR 2020, section 4.4.
"""

import dataclasses
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from perturb.base import Images, Method, Target, check_arguments, class_scores
from perturb.compiled import compiled
from perturb.errors import check_choice
from perturb.nets.layer_gradients import network_of
from perturb.nets.pretrained import Pretrained

Mode = Literal['paper', 'released']


def training_step(
  net: Pretrained, x: jax.Array, targets: jax.Array, rate: float | jax.Array
) -> Pretrained:
  """theta' = theta - rate grad_theta l, l the mean cross-entropy of the targets (eq. 6).

  All parameters move, those of batch normalisation too; its statistics stay. The gradient is the
  true one, whatever backward rules the network is bound to.
  """

  plain = net.with_rules()  # Rules give signals, and none to the parameters.

  def loss(params: Any) -> jax.Array:
    moved = dataclasses.replace(plain, variables=net.variables | {'params': params})
    log_probabilities = jax.nn.log_softmax(class_scores(moved(x)))
    return -jnp.take_along_axis(log_probabilities, targets[:, None], axis=1).mean()

  params = net.variables['params']
  moved = jax.tree.map(lambda p, g: p - rate * g, params, jax.grad(loss)(params))
  return dataclasses.replace(net, variables=net.variables | {'params': moved})


@compiled
def _meta(net, x, targets, *, method, rate, options):
  def one(pair):
    image, target = pair[0][None], pair[1][None]
    return method(training_step(net, image, target, rate), image, target, **options)[0]

  return jax.lax.map(one, (x, targets))  # Each image has weights of its own.


def meta_saliency(
  method: Method,
  net: Pretrained,
  x: Images,
  target: Target,
  *,
  epsilon: float = 1e-3,
  mode: Mode = 'paper',
  ascent: bool = False,
  **options: Any,
) -> jax.Array:
  """The heatmap of a method at weights that have taken a step towards the target class.

  theta' = theta - 2 epsilon grad_theta l(theta, x): the gradient at theta' is, to first order, that
  of l(theta - epsilon grad l) (eq. 4-6). Maps of a class that is not in the image then lose what
  they share with the others.

  Example:
    >>> heatmap = perturb.meta_saliency(perturb.linear_approximation, net, x, cat, layer='relu3')
    >>> heatmap.shape
    (1, 32, 32)

  Args:
    method: a method that returns a heatmap; see `perturb.base.Method`.
    net, x, target: see `perturb.base`; net is a network of `perturb.nets`.
    epsilon: learning rate of the step, how far a unit of gradient moves a parameter.
    mode: 'paper' goes 2 epsilon; 'released', as the authors' code, epsilon.
    ascent: whether the step goes away from the class, which would degrade the network.
    **options: what else the method is called with.

  Returns:
    `[B, H, W]`.

  Raises:
    UserError: as the method.
  """
  check_choice('mode', mode, get_args(Mode))
  net = network_of(net, 'meta-saliency')
  x, targets = check_arguments(net, x, target)
  rate = epsilon * (2 if mode == 'paper' else 1) * (-1 if ascent else 1)
  return _meta(net, x, targets, method=method, rate=rate, options=options)
