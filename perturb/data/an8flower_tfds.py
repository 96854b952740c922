"""an8Flower as a dataset of tensorflow-datasets; TensorFlow is not needed.

  from perturb.data.an8flower_tfds import An8flower

  An8flower(config='single_6c', file_format='array_record').download_and_prepare()

Afterwards `tfds:an8flower/single_6c` is read as any other; its only split is `train`. `frame` is
the group of near-duplicates that a split of it should keep together.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from perturb.data.an8flower import open_an8flower
from perturb.data.flower_pictures import CROP, VARIANTS
from perturb.data.images import png_file

_NAMES = {variant.replace('-', '_'): variant for variant in VARIANTS}


class An8flower(tfds.core.GeneratorBasedBuilder):
  """The pictures of `perturb.data.an8flower`, a configuration for each of their sets."""

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name=name) for name in _NAMES]

  def _info(self) -> tfds.core.DatasetInfo:
    classes = VARIANTS[_NAMES[self.builder_config.name]]
    features = {
      'image': tfds.features.Image(shape=(CROP, CROP, 3), encoding_format='png'),
      'label': tfds.features.ClassLabel(names=classes),
      'mask': tfds.features.Image(shape=(CROP, CROP, 1), encoding_format='png'),
      'frame': np.int32,
      'file_name': tfds.features.Text(),
    }
    return tfds.core.DatasetInfo(
      builder=self,
      description='Rendered flowers whose classes differ in one part, or in its colour.',
      features=tfds.features.FeaturesDict(features),
      supervised_keys=('image', 'label'),
    )

  def _split_generators(self, _: Any) -> dict[str, Iterator]:
    return {'train': self._generate_examples()}

  def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
    dataset = open_an8flower(_NAMES[self.builder_config.name])
    assert dataset.groups is not None
    for index, (source, frame) in enumerate(zip(dataset.sources, dataset.groups, strict=True)):
      file, label = dataset.record(index)
      yield (
        source.name,
        {
          'image': file,
          'label': label,
          'mask': png_file(np.uint8(255) * dataset.region(index).mask()),
          'frame': frame,
          'file_name': f'{source.name}.png',
        },
      )
