"""The networks under study: ordered lists of named layers, their weights and class names."""

from perturb.nets import rules
from perturb.nets.architectures.alexnet import AlexNet
from perturb.nets.architectures.efficientnet import EfficientNetLite
from perturb.nets.architectures.googlenet import GoogLeNet
from perturb.nets.architectures.matconvnet import VGGF, FlowerNet, MNISTNet
from perturb.nets.architectures.resnet import ResNet
from perturb.nets.architectures.vgg import VGG
from perturb.nets.network import Network, Rule, Variables
from perturb.nets.preprocessing import PREPROCESSINGS, Preprocessing
from perturb.nets.pretrained import Gradients, Pretrained
from perturb.nets.weights.errors import CheckpointError
from perturb.nets.weights.from_torch import from_torch
from perturb.nets.weights.saved import save
from perturb.nets.weights.torch_files import open_checkpoint, read_checkpoint
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
  'open_checkpoint',
  'read_checkpoint',
  'rules',
  'save',
]
