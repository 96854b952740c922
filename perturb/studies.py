"""The studies of "Interpretable Explanations of Black Boxes by Meaningful Perturbation"."""

from perturb.evaluate.adversarial import (
  Adversarial,
  Detection,
  Recovery,
  adversarial_examples,
  detect,
  recover_labels,
)
from perturb.evaluate.boxes import Interrogation, MinimalBoxes, interrogate, minimal_boxes
from perturb.evaluate.parts import Keypoint, PartSaliency, part_saliency, read_keypoints
from perturb.evaluate.representativeness import Representativeness, representativeness

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
