"""The networks under study: ordered lists of named layers, their weights and class names."""

from perturb.nets import rules
from perturb.nets.alexnet import AlexNet
from perturb.nets.checkpoint import CheckpointError, read_checkpoint
from perturb.nets.efficientnet import EfficientNetLite
from perturb.nets.googlenet import GoogLeNet
from perturb.nets.matconvnet import VGGF, FlowerNet, MNISTNet
from perturb.nets.network import Network, Rule, Variables
from perturb.nets.preprocessing import PREPROCESSINGS, Preprocessing
from perturb.nets.pretrained import Gradients, Pretrained
from perturb.nets.resnet import ResNet
from perturb.nets.saved import save
from perturb.nets.torch_weights import from_torch
from perturb.nets.vgg import VGG
from perturb.nets.zoo import NETWORKS, load

__all__ = [
  'NETWORKS',
  'PREPROCESSINGS',
  'VGG',
  'VGGF',
  'AlexNet',
  'CheckpointError',
  'EfficientNetLite',
  'FlowerNet',
  'GoogLeNet',
  'Gradients',
  'MNISTNet',
  'Network',
  'Preprocessing',
  'Pretrained',
  'ResNet',
  'Rule',
  'Variables',
  'from_torch',
  'load',
  'read_checkpoint',
  'rules',
  'save',
]
