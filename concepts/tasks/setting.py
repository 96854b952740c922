"""What the parts of a study of relevant features share."""

from collections.abc import Mapping, Sequence
import dataclasses
import pathlib
from typing import Any

import ml_collections

from concepts.features import Features
from perturb.data.datasets import Dataset
from perturb.nets import Pretrained
from perturb.run.experiment import Experiment, Step, Targets
from perturb.run.loop import Outcome, Run

PREDICTED = Targets(lambda _label: -1)  # The class predicted is the one explained.


@dataclasses.dataclass(frozen=True)
class Setting:
  """What a study is of.

  Attributes:
    net: the network.
    features: its features that can be chosen.
    dataset: the images.
    classes: the class of the network that each label of the dataset is; empty where the features
      are to predict the class predicted.
    config: of the study.
    path: its workdir.
  """

  net: Pretrained
  features: Features
  dataset: Dataset
  classes: tuple[int, ...]
  config: ml_collections.ConfigDict
  path: pathlib.Path

  def compute(
    self,
    part: str,
    steps: Sequence[Step],
    indices: Sequence[int],
    *,
    given: Mapping[str, Mapping[str, Any]] | None = None,
    inputs: Mapping[str, Any] | None = None,
  ) -> Outcome:
    """Takes some images through some steps; what is stored of them is not computed again.

    Args:
      part: name of the subfolder of the workdir.
      steps: see `perturb.run.experiment.Step`.
      indices: of the images, in the dataset.
      given: see `perturb.run.experiment.Experiment`.
      inputs: likewise.
    """
    folder = self.path / part
    folder.mkdir(exist_ok=True)
    experiment = Experiment(
      self.net, tuple(steps), PREDICTED, inputs=inputs or {}, given=given or {}
    )
    return Run(experiment, self.dataset.take(indices), self.config, folder)()
