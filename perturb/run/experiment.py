"""What a run computes of each image: steps, one program each, and what is stored of them."""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

import jax
import numpy as np

from perturb.nets import Pretrained
from perturb.store.arrays import Field
from perturb.store.results import COMMON, STATUS

Shape = tuple[int, int]  # (H, W) of an image as the network sees it.
Share = dict[str, jax.Array]  # What one device is given of n images, by name: `[n, ...]`.
Values = Mapping[str, np.ndarray]  # What a step gave for some images, by field: `[n, ...]`.


def _nothing_wrong(_values: Values, _index: int) -> str:
  return ''


@dataclasses.dataclass(frozen=True)
class Step:
  """A program, and the fields that it computes of each image.

  Attributes:
    explain: (net, share) -> field -> `[n, ...]`; what one device runs. A share has 'x'
      `[n, H, W, C]`, 'target' `[n]` (-1: the class predicted) and what the step needs.
    fields: shape -> the fields.
    wrong: (values, index) -> why those of an image cannot be used, or ''.
    name: '' for the first step; that of a subgroup of the results for the others.
    needs: fields of earlier steps that it is given, by the names under which they are stored:
      'target', 'grad_cam/heatmap'. A 'target' takes the place of the one asked for. Also names of
      what is known of each image, see `Experiment`.
    compiled: whether `explain` can be compiled; otherwise it is called for one image at a time.
  """

  explain: Callable[[Pretrained, Share], dict[str, jax.Array]]
  fields: Callable[[Shape], dict[str, Field]]
  wrong: Callable[[Values, int], str] = _nothing_wrong
  name: str = ''
  needs: tuple[str, ...] = ()
  compiled: bool = True

  def stored(self, field: str) -> str:
    """The name under which a field of this step is stored."""
    return f'{self.name}/{field}' if self.name else field


def owner(field: str) -> str:
  """The name of the step that a stored field belongs to."""
  return field.rpartition('/')[0]


@dataclasses.dataclass(frozen=True)
class Targets:
  """Which class of each image is explained.

  Attributes:
    of: label of the dataset (-1: none) -> index of the class, -1 for the one predicted; raises a
      `UserError` for an image that has none.
    labels: of each label its name, and the index and name of its class, where these are explained.
  """

  of: Callable[[int], int]
  labels: tuple[tuple[str, int, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Experiment:
  """What is computed of each image.

  Attributes:
    net: the network, passed to every step.
    steps: in order; an image that fails in one is still taken through those that do not need it.
    targets: the class of each image that is explained.
    attributes: (shape, images a block) -> what a group records of how its results were computed.
    constants: name -> (axis, values), what all images share.
    inputs: name -> arrays that the results depend on, beside the network's; see `run.inputs`.
    given: name -> image -> value `[...]`, of one shape and type: what is known of each image
      beforehand. A step that `needs` a name is given those of its images.
  """

  net: Pretrained
  steps: tuple[Step, ...]
  targets: Targets
  attributes: Callable[[Shape, int], dict[str, Any]] = lambda *_: {}
  constants: Mapping[str, tuple[str, np.ndarray]] = dataclasses.field(default_factory=dict)
  inputs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  given: Mapping[str, Mapping[str, np.ndarray]] = dataclasses.field(default_factory=dict)

  def fields(self, shape: Shape) -> dict[str, Field]:
    """Everything that is stored of each image of a shape, by name."""
    found = dict(COMMON)
    for step in self.steps:
      found[step.stored('status')] = STATUS
      found |= {step.stored(name): field for name, field in step.fields(shape).items()}
    return found
