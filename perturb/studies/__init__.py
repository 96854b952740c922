"""The studies of "Interpretable Explanations of Black Boxes by Meaningful Perturbation"."""

from perturb.studies.adversarial import (
  Adversarial,
  Detection,
  Recovery,
  adversarial_examples,
  detect,
  recover_labels,
)
from perturb.studies.boxes import Interrogation, MinimalBoxes, interrogate, minimal_boxes
from perturb.studies.parts import Keypoint, PartSaliency, part_saliency, read_keypoints
from perturb.studies.representativeness import Representativeness, representativeness

__all__ = [
  'Adversarial',
  'Detection',
  'Interrogation',
  'Keypoint',
  'MinimalBoxes',
  'PartSaliency',
  'Recovery',
  'Representativeness',
  'adversarial_examples',
  'detect',
  'interrogate',
  'minimal_boxes',
  'part_saliency',
  'read_keypoints',
  'recover_labels',
  'representativeness',
]
