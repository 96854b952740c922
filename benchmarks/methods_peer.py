"""The peer of benchmarks/methods.py: Captum, pytorch-grad-cam and TorchRay, on stdin/stdout.

Runs in an environment of its own, from the root of this repository:

  pip install numpy torch==2.13.0 torchvision==0.28.0 efficientnet-lite-pytorch captum grad-cam
  pip install packaging matplotlib requests && pip install --no-deps torchray
"""

import functools
import json
import pathlib
import sys
import time
import types

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))


def methods(net, name: str, samples: int) -> dict:
  """Each method as a function of images and targets, at its package's defaults."""
  from captum import attr
  from pytorch_grad_cam import GradCAMPlusPlus
  from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
  from torchray.attribution.excitation_backprop import (
    contrastive_excitation_backprop,
    excitation_backprop,
  )
  from torchray.attribution.rise import rise

  last = {
    'efficientnet_lite0': '_bn1',
    'resnet50': 'layer4.2',
    'alexnet': 'features.11',
    'mnist': 'conv2',
  }[name]
  layer = dict(net.named_modules())[last]
  size = {'mnist': 7}.get(name, 35)
  stride = {'mnist': 3}.get(name, 27)

  def windows(x):
    return {
      'sliding_window_shapes': (x.shape[1], size, size),
      'strides': (x.shape[1], stride, stride),
    }

  def each(function):
    """For methods of one image at a time."""
    return lambda x, t: [function(x[i : i + 1], t[i : i + 1]) for i in range(len(x))]

  grid = np.indices((224, 224)) // 32
  segments = grid[0] * 7 + grid[1]

  def lime(x, t):
    import torch

    mask = torch.tensor(segments)[None, None].expand(1, 3, -1, -1)
    return attr.Lime(net).attribute(x, target=t, feature_mask=mask, n_samples=samples)

  def plus_plus(x, t):
    with GradCAMPlusPlus(net, [layer]) as cam:
      return cam(x, [ClassifierOutputTarget(int(i)) for i in t])

  return {
    'gradient': lambda x, t: attr.Saliency(net).attribute(x, t),
    'smooth_grad': lambda x, t: attr.NoiseTunnel(attr.Saliency(net)).attribute(
      x, nt_type='smoothgrad', nt_samples=samples, stdevs=0.5, target=t
    ),
    'integrated_gradients': lambda x, t: attr.IntegratedGradients(net).attribute(
      x, target=t, n_steps=samples
    ),
    'linear_approximation': lambda x, t: attr.LayerGradientXActivation(net, layer).attribute(x, t),
    'grad_cam': lambda x, t: attr.LayerGradCam(net, layer).attribute(x, t, relu_attributions=True),
    'grad_cam_plus_plus': plus_plus,
    'guided_backprop': lambda x, t: attr.GuidedBackprop(net).attribute(x, t),
    'deconvnet': lambda x, t: attr.Deconvolution(net).attribute(x, t),
    'guided_grad_cam': lambda x, t: attr.GuidedGradCam(net, layer).attribute(x, t),
    'excitation_backprop': each(
      lambda x, t: excitation_backprop(net, x, int(t[0]), saliency_layer=last)
    ),
    'contrastive_excitation_backprop': each(
      lambda x, t: contrastive_excitation_backprop(
        net, x, int(t[0]), saliency_layer=last, contrast_layer='classifier.4'
      )
    ),
    'occlusion': lambda x, t: attr.Occlusion(net).attribute(x, target=t, **windows(x)),
    'rise': each(lambda x, t: rise(net, x, int(t[0]), num_masks=samples)),
    'lime': each(lime),
  }


def main() -> None:
  sys.modules['pymongo'] = types.ModuleType('pymongo')  # Imported by TorchRay, not needed here.
  import torch

  from tests import torch_networks

  replies, sys.stdout = sys.stdout, sys.stderr

  @functools.cache
  def build(name: str):
    net = torch_networks.build(name).requires_grad_(True)
    for module in net.modules():
      if hasattr(module, 'inplace'):
        module.inplace = False  # Captum hooks need the values.
    return net

  for line in sys.stdin:
    request = json.loads(line)
    net = build(request['network'])
    method = methods(net, request['network'], request['samples'])[request['method']]
    x = torch.tensor(np.load(request['x']).transpose(0, 3, 1, 2))
    target = torch.zeros(len(x), dtype=torch.long)
    start = time.perf_counter()
    method(x, target)
    print(json.dumps({'seconds': time.perf_counter() - start}), file=replies, flush=True)


if __name__ == '__main__':
  main()
