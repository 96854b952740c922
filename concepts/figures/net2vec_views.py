"""What the figures and the page of concept vectors are given.

Letters: C concepts, K filters of a layer, `[sh, sw]` the size of a label map. NaN stands for what
is not known: a concept without validation images, or without pixel labels where masks are learned.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Literal

import numpy as np

Task = Literal['segmentation', 'classification']


@dataclasses.dataclass(frozen=True)
class ConceptView:
  """A concept of the probe dataset.

  Attributes:
    name: 'wheel'.
    categories: in which it occurs: 'object', 'part', ...; the first is the one it is coloured by.
    train: how many training pictures have it.
    val: how many validation pictures have it.
  """

  name: str
  categories: tuple[str, ...]
  train: int
  val: int


@dataclasses.dataclass(frozen=True)
class LayerView:
  """What the filters of a layer say about each concept, alone and together.

  Scores are IoU_set (segmentation) or balanced accuracy (classification) on validation pictures.

  Attributes:
    name: of the layer: 'conv5'.
    vectors: weights w of the filters, float `[C, K]`; NaN rows for concepts without a vector.
    filter_scores: of each filter alone, float `[C, K]`.
    best: the single filter that is best on training pictures, int `[C]`; -1 if there is none.
    single: score of that filter, float `[C]`.
    combined: score of the combination, float `[C]`.
    task: what the vectors were learned for.
    map: places of the concepts in the plane, float `[C, 2]`, as of `concepts.maps.flat_map`; NaN
      rows for concepts without a vector. None if there is no map.
  """

  name: str
  vectors: np.ndarray
  filter_scores: np.ndarray
  best: np.ndarray
  single: np.ndarray
  combined: np.ndarray
  task: Task = 'segmentation'
  map: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class PictureView:
  """A validation picture.

  Attributes:
    name: of its file.
    pixels: uint8 `[H, W, 3]`.
  """

  name: str
  pixels: np.ndarray


@dataclasses.dataclass(frozen=True)
class MaskView:
  """What a layer says about where a concept is in a picture.

  Attributes:
    single: mask of the best single filter, bool `[sh, sw]`.
    combined: mask of the combination, bool `[sh, sw]`.
    single_iou: IoU_ind of the one with the truth, in [0, 1].
    combined_iou: and of the other.
  """

  single: np.ndarray
  combined: np.ndarray
  single_iou: float
  combined_iou: float


@dataclasses.dataclass(frozen=True)
class ExampleView:
  """A concept in a picture.

  Attributes:
    concept: its index.
    picture: index of the picture; many examples may show the same one.
    truth: where the concept is, bool `[sh, sw]`.
    masks: by the name of a layer whose vectors were learned for segmentation.
    note: how it was chosen: '3rd decile'; or ''.
  """

  concept: int
  picture: int
  truth: np.ndarray
  masks: Mapping[str, MaskView]
  note: str = ''


@dataclasses.dataclass(frozen=True)
class SubsetView:
  """Scores with only the F filters of largest weight.

  Attributes:
    layer: its name.
    counts: F, `[T]`, rising.
    scores: on validation pictures, float `[T, C]`.
    task: what the vectors were learned for.
  """

  layer: str
  counts: np.ndarray
  scores: np.ndarray
  task: Task = 'segmentation'


@dataclasses.dataclass(frozen=True)
class DistanceView:
  """How much the geometries of several embeddings differ.

  Attributes:
    names: of E embeddings: 'conv5', 'conv5 classification', 'WordNet', 'GloVe'.
    distances: D_ij, float `[E, E]`.
    concepts: how many concepts all of them share.
  """

  names: tuple[str, ...]
  distances: np.ndarray
  concepts: int


@dataclasses.dataclass(frozen=True)
class ConceptStudy:
  """Everything that a page shows.

  Attributes:
    title: of the page: dataset and network.
    made: text that says how it was made.
    concepts: C of them.
    layers: from the first of the network to the last; one entry for each layer and task.
    pictures: that the examples show.
    examples: in the order in which they are shown.
    subsets: of the layers; may be empty.
    distances: between the layers and others, if known.
  """

  title: str
  made: str
  concepts: Sequence[ConceptView]
  layers: Sequence[LayerView]
  pictures: Sequence[PictureView]
  examples: Sequence[ExampleView]
  subsets: Sequence[SubsetView] = ()
  distances: DistanceView | None = None
