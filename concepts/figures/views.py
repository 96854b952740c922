"""What the figures and the page of relevant features are given."""

from collections.abc import Sequence
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class FeatureView:
  """A feature, and what it stands for.

  Attributes:
    index: among all features.
    layer: its layer.
    filter: its number there.
    depth: number of its layer in the network, from 1.
    layers: how many the network has.
    connected: whether its layer has no extent (fully connected).
    average: uint8 `[S, S, 3]`, the mean of the strongest patches; None if it never fires.
    patches: uint8 `[P, S, S, 3]`, the strongest patches, strongest first.
    sources: names of the images of the patches, `[P]`.
    responses: of the patches, `[P]`.
  """

  index: int
  layer: str
  filter: int
  depth: int
  layers: int
  connected: bool
  average: np.ndarray | None
  patches: np.ndarray
  sources: tuple[str, ...]
  responses: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class ClassView:
  """A class and the features that it rests on.

  Attributes:
    name: of the class.
    features: (index of a feature, its weight), largest absolute weight first.
    images: how many images of the class there are.
    accuracy: share of them that the network gets right; NaN if there are none.
  """

  name: str
  features: Sequence[tuple[int, float]]
  images: int
  accuracy: float


@dataclasses.dataclass(frozen=True)
class ImageView:
  """An image, what the network calls it, and why.

  Attributes:
    name: of the image.
    picture: uint8 `[H, W, 3]`.
    label: its class in the dataset, or ''.
    predicted: the class predicted.
    probability: of that class.
    features: (index of a feature, its contribution, share of the sum of all positive ones), of
      those that speak for the class, strongest first.
    heatmaps: float `[K, H, W]` in [0, 1], of each of `features`, each on its own scale.
    combined: float `[H, W]` in [0, 1].
    mask: bool `[H, W]`, what tells the classes apart, if known.
  """

  name: str
  picture: np.ndarray
  label: str
  predicted: str
  probability: float
  features: Sequence[tuple[int, float, float]]
  heatmaps: np.ndarray
  combined: np.ndarray
  mask: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Curve:
  """Mean class accuracy as features are set to zero.

  Attributes:
    name: of the set of features: 'All', 'OnlyConv', 'Random', ...
    counts: how many are removed, `[T]`, from 0.
    accuracy: `[T]`, in [0, 1].
    deviation: of `accuracy` over repetitions, `[T]`; None where there are none.
  """

  name: str
  counts: np.ndarray
  accuracy: np.ndarray
  deviation: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Study:
  """Everything that a page shows.

  Attributes:
    title: of the page: dataset and network.
    made: text that says how it was made.
    features: by index.
    classes: in the order of the network.
    images: in order.
    curves: of the ablation; may be empty.
    table: of the methods' overlap with the mask: (method, mean, deviation over the folds, the
      paper's mean and deviation or None), in percent, best first; may be empty.
    parts: of the methods' rank correlations of mean evidence and importance over the parts of an
      image: (method, mean, deviation over the folds), best first; may be empty.
  """

  title: str
  made: str
  features: dict[int, FeatureView]
  classes: Sequence[ClassView]
  images: Sequence[ImageView]
  curves: Sequence[Curve] = ()
  table: Sequence[tuple[str, float, float, tuple[float, float] | None]] = ()
  parts: Sequence[tuple[str, float, float]] = ()
