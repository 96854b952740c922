"""The networks under study: ordered lists of named layers, their weights and class names."""

from perturb.nets.checkpoint import CheckpointError, read_torch_checkpoint
from perturb.nets.efficientnet import EfficientNetLite
from perturb.nets.network import Network, Variables
from perturb.nets.pretrained import NETWORKS, Pretrained, load

__all__ = [
  'NETWORKS',
  'CheckpointError',
  'EfficientNetLite',
  'Network',
  'Pretrained',
  'Variables',
  'load',
  'read_torch_checkpoint',
]
