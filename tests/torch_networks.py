"""The networks under study written in PyTorch, for `tests/record.py` and the benchmark.

torchvision's where it has them; the others are written from the papers, independently of ours.
"""

import torch
from torch import nn


class _Stack(nn.Sequential):
  """Named layers in order."""

  def __init__(self, **layers: nn.Module):
    super().__init__()
    for name, layer in layers.items():
      self.add_module(name, layer)


def vgg_f() -> nn.Module:
  """CNN-F; the response normalisation of PyTorch divides alpha by its size."""

  def pool() -> nn.Module:
    return nn.MaxPool2d(3, 2, ceil_mode=True)

  def norm() -> nn.Module:
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)

  return _Stack(
    conv1=nn.Conv2d(3, 64, 11, 4),
    relu1=nn.ReLU(),
    norm1=norm(),
    pool1=pool(),
    conv2=nn.Conv2d(64, 256, 5, padding=2),
    relu2=nn.ReLU(),
    norm2=norm(),
    pool2=pool(),
    conv3=nn.Conv2d(256, 256, 3, padding=1),
    relu3=nn.ReLU(),
    conv4=nn.Conv2d(256, 256, 3, padding=1),
    relu4=nn.ReLU(),
    conv5=nn.Conv2d(256, 256, 3, padding=1),
    relu5=nn.ReLU(),
    pool5=pool(),
    flatten=nn.Flatten(),
    fc6=nn.Linear(256 * 36, 4096),
    relu6=nn.ReLU(),
    fc7=nn.Linear(4096, 4096),
    relu7=nn.ReLU(),
    fc8=nn.Linear(4096, 1000),
  )


def mnist() -> nn.Module:
  """The digits' network of MatConvNet."""
  return _Stack(
    conv1=nn.Conv2d(1, 20, 5),
    pool1=nn.MaxPool2d(2),
    conv2=nn.Conv2d(20, 50, 5),
    pool2=nn.MaxPool2d(2),
    flatten=nn.Flatten(),
    conv3=nn.Linear(50 * 16, 500),
    relu3=nn.ReLU(),
    fc4=nn.Linear(500, 10),
  )


def flower() -> nn.Module:
  """Ten layers with the softmax, for images of 112 x 112."""
  return _Stack(
    conv1=nn.Conv2d(3, 32, 7, 2),
    relu1=nn.ReLU(),
    pool1=nn.MaxPool2d(3, 2),
    conv2=nn.Conv2d(32, 64, 5, 2, 2),
    relu2=nn.ReLU(),
    pool2=nn.MaxPool2d(3, 2),
    flatten=nn.Flatten(),
    fc3=nn.Linear(64 * 36, 256),
    relu3=nn.ReLU(),
    fc4=nn.Linear(256, 12),
  )


def resnet50_caffe() -> nn.Module:
  """The authors' ResNet50: strides in the first convolution of a block, pooling rounded up."""
  import torchvision

  net = torchvision.models.resnet50()
  net.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
  for stage in (net.layer2, net.layer3, net.layer4):
    stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
  return net


class _Block(nn.Module):
  """Two 3 x 3 convolutions beside a shortcut."""

  def __init__(self, below: int, width: int, stride: int):
    super().__init__()
    self.conv1 = nn.Conv2d(below, width, 3, stride, 1, bias=False)
    self.bn1 = nn.BatchNorm2d(width)
    self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
    self.bn2 = nn.BatchNorm2d(width)
    self.downsample = None
    if stride > 1 or below != width:
      projection = nn.Conv2d(below, width, 1, stride, bias=False)
      self.downsample = nn.Sequential(projection, nn.BatchNorm2d(width))

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    shortcut = self.downsample(x) if self.downsample else x
    branch = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
    return torch.relu(branch + shortcut)


def small_resnet(
  classes: int = 10, depths: tuple[int, ...] = (2, 2, 2), width: int = 16
) -> nn.Module:
  """A ResNet for 32 x 32 pixels: section 4.2 of the paper, with projections."""
  widths = [width * 2**stage for stage in range(len(depths))]
  stages = {
    f'layer{stage}': nn.Sequential(
      *(
        _Block(below if i == 0 else wide, wide, 2 if stage > 1 and i == 0 else 1)
        for i in range(depth)
      )
    )
    for stage, (depth, below, wide) in enumerate(
      zip(depths, [width, *widths], widths, strict=False), start=1
    )
  }
  return _Stack(
    conv1=nn.Conv2d(3, width, 3, 1, 1, bias=False),
    bn1=nn.BatchNorm2d(width),
    relu=nn.ReLU(),
    **stages,
    avgpool=nn.AdaptiveAvgPool2d(1),
    flatten=nn.Flatten(),
    fc=nn.Linear(widths[-1], classes),
  )


def vgg16_caffe() -> nn.Module:
  """VGG16 with the size of the pooled images rounded up."""
  import torchvision

  net = torchvision.models.vgg16(init_weights=False)
  for layer in net.features:
    if isinstance(layer, nn.MaxPool2d):
      layer.ceil_mode = True
  return net


def lite(number: int) -> nn.Module:
  """EfficientNet-Lite, without weights."""
  from efficientnet_lite_pytorch import EfficientNet

  return EfficientNet.from_name(f'efficientnet-lite{number}')


def build(name: str) -> nn.Module:
  """A network by the name that it has in `perturb.nets.NETWORKS`, in evaluation mode."""
  import torchvision

  own = {
    'vgg_f': vgg_f,
    'mnist': mnist,
    'flower': flower,
    'small_resnet': small_resnet,
    'vgg16_caffe': vgg16_caffe,
    'resnet50_caffe': resnet50_caffe,
  }
  if name in own:
    net = own[name]()
  elif name.startswith('efficientnet_lite'):
    net = lite(int(name[-1]))
  else:
    options = {'init_weights': False, 'aux_logits': False} if name == 'googlenet' else {}
    net = getattr(torchvision.models, name)(**options)
  return net.eval().requires_grad_(False)


def activations(net: nn.Module, x: torch.Tensor, modules: list[str]) -> dict[str, torch.Tensor]:
  """The logits, and the outputs of some modules."""
  kept: dict[str, torch.Tensor] = {}
  named = dict(net.named_modules())
  for module in modules:
    named[module].register_forward_hook(
      lambda _, __, output, module=module: kept.__setitem__(module, output.clone())
    )
  with torch.no_grad():
    kept['logits'] = net(x)
  return kept
