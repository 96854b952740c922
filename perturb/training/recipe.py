"""How a network is trained, beside its optimiser: occlusion, dropout and the like."""

from collections.abc import Mapping
import dataclasses
import functools
from typing import Any, Literal, get_args

from perturb.errors import UserError, check_choice
from perturb.nets.network import INPUT, Network
from perturb.options import Bounds, Option, check_options, options_of
from perturb.training import occlude
from perturb.training.dropout import drop_block, dropout, spatial_dropout
from perturb.training.mode import Site

Occlusion = Literal['none', 'hide_and_seek', 'cutout', 'salient']
Dropout = Literal['none', 'dropout', 'spatial_dropout', 'drop_block']


@dataclasses.dataclass(frozen=True)
class Recipe:
  """What is done to pictures, activations, labels and weights in training.

  Attributes:
    occlusion: 'none', or the name of a function of `perturb.training.occlude`.
    options: its arguments, by name; 'salient' takes 'layer' too, whose saliency it is.
    joint: train on (X, X * M): each image beside its occluded copy, after the same crop. Without
      occlusion each image comes twice, which is the paper's joint baseline.
    keep_image: p_keep,image: the probability that an image is not occluded; 0 where `joint`.
    dropout: 'none', or the name of a function of `perturb.training.dropout`.
    dropout_keep: the probability that a value, a channel or a pixel of a map is kept.
    dropout_block: side of the blocks of 'drop_block', in pixels of the map.
    dropout_layers: where; () for the network's usual ones (see `Network.dropout_layers`).
    label_smoothing: the share of the label that all classes have in equal parts.
    half: activations and gradients are bfloat16; weights, statistics and the loss float32.
    average: decay of the running average of the weights a step; 0 for none.
    pad: pictures are shifted at random by up to so many pixels, and filled with 0.
    flip: half the pictures are mirrored.

  Raises:
    UserError: names the field, and what would be right.
  """

  occlusion: Occlusion = 'none'
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  joint: bool = False
  keep_image: float = 0.0
  dropout: Dropout = 'none'
  dropout_keep: float = 0.9
  dropout_block: int = 7
  dropout_layers: tuple[str, ...] = ()
  label_smoothing: float = 0.0
  half: bool = False
  average: float = 0.0
  pad: int = 0
  flip: bool = False

  def __post_init__(self) -> None:
    check_choice('occlusion', self.occlusion, get_args(Occlusion))
    check_choice('dropout', self.dropout, get_args(Dropout))
    check_options(f'occlusion {self.occlusion!r}', _options(self.occlusion), self.options)
    inside = {
      'keep_image': Bounds(0, 1),
      'dropout_keep': Bounds(0, 1, above=True),
      'dropout_block': Bounds(1),
      'label_smoothing': Bounds(0, 1, below=True),
      'average': Bounds(0, 1, below=True),
      'pad': Bounds(0),
    }
    for field, bounds in inside.items():
      if getattr(self, field) not in bounds:
        raise UserError(f'{field} must be {bounds}, not {getattr(self, field)}')
    if self.joint and self.keep_image:
      raise UserError('keep_image must be 0 where joint is True: one of each pair is kept anyway')


def _options(occlusion: Occlusion) -> dict[str, Option]:
  if occlusion == 'none':
    return {}
  salient = occlusion == 'salient'
  options = options_of(getattr(occlude, occlusion), 3 if salient else 2)
  del options['keep_image']  # A field of its own.
  return options | ({'layer': Option(str, needed=True)} if salient else {})


def sites_of(recipe: Recipe, network: Network) -> dict[str, Site]:
  """Where a network drops activations: its own dropout, then the recipe's.

  Raises:
    UserError: for a layer that the network does not have; for a dropout of a network that has no
      usual layers for it.
  """
  own = {
    network.resolve(layer): Site(functools.partial(dropout, keep=1 - rate))
    for layer, rate in network.dropouts().items()
  }
  if recipe.dropout == 'none':
    return own
  layers = recipe.dropout_layers or network.dropout_layers()
  if not layers:
    raise UserError(f'dropout_layers: {type(network).__name__} has no usual ones; name some')
  names = [network.resolve(layer) for layer in layers]
  if INPUT in names:
    raise UserError(f'dropout_layers: {INPUT!r} is no layer; hide pixels with occlusion')
  return own | dict.fromkeys(names, _site(recipe))


def _site(recipe: Recipe) -> Site:
  keep = recipe.dropout_keep
  if recipe.dropout == 'drop_block':
    return Site(functools.partial(drop_block, keep=keep, block=recipe.dropout_block), True)
  drop = {'dropout': dropout, 'spatial_dropout': spatial_dropout}[recipe.dropout]
  return Site(functools.partial(drop, keep=keep))
