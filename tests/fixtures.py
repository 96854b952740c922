"""Small networks and images with fixed numbers, shared by the tests and by `tests/record.py`."""

import numpy as np

SMALL_AREAS = (0.1, 0.3)
SMALL_TARGET = 2

# Of the networks whose input is not 224 x 224 x 3.
INPUTS = {
  'mnist': (28, 28, 1),
  'small_resnet': (32, 32, 3),
  'flower': (112, 112, 3),
  'efficientnet_lite1': (240, 240, 3),
  'efficientnet_lite2': (260, 260, 3),
}


def small_weights() -> list[tuple[np.ndarray, np.ndarray, int]]:
  """Two convolutions (kernel `[3, 3, in, out]`, bias, stride), softplus after each, then a mean."""
  random = np.random.RandomState(0)
  return [
    (random.randn(3, 3, 3, 8).astype(np.float32), random.randn(8).astype(np.float32), 2),
    (random.randn(3, 3, 8, 5).astype(np.float32), random.randn(5).astype(np.float32), 1),
  ]


def small_image() -> np.ndarray:
  """float32 `[32, 32, 3]`."""
  return np.random.RandomState(1).randn(32, 32, 3).astype(np.float32)


def small_parameters() -> np.ndarray:
  """Mask parameters float32 `[2, 16, 16]` in [0, 1]."""
  return np.random.RandomState(2).rand(2, 16, 16).astype(np.float32)


def torch_like_state(shapes: dict[str, list[int]]) -> dict[str, np.ndarray]:
  """Weights for the tensors of a PyTorch state dict, the same on every machine.

  Weights vary by He's rule, so that activations stay of order one; statistics of batch
  normalisation are positive; biases are small.
  """
  state = {}
  for seed, (name, shape) in enumerate(shapes.items()):
    size = int(np.prod(shape))
    noise = np.frombuffer(np.random.RandomState(seed).bytes(size), np.uint8).astype(np.float32)
    noise = ((noise - 127.5) / 73.9).reshape(shape)  # Mean 0, variance 1.
    if name.endswith('num_batches_tracked'):
      state[name] = np.zeros(shape, np.int64)
    elif name.endswith('.running_var') or (name.endswith('.weight') and len(shape) == 1):
      # A residual branch adds little, so that a sum over many blocks stays of order one.
      state[name] = (0.2 if '.bn3.' in name else 1) * (1 + 0.25 * noise)
    elif name.endswith('.weight'):
      state[name] = noise * np.float32(np.sqrt(2 / np.prod(shape[1:])))
    else:
      state[name] = 0.1 * noise
  return state


def noise_images(count: int, shape: tuple[int, int, int]) -> np.ndarray:
  """float32 `[count, H, W, C]`, smooth enough that every layer sees some of it."""
  coarse = np.random.RandomState(count).randn(count, 8, 8, shape[2]).astype(np.float32)
  repeats = -(-shape[0] // 8)
  return coarse.repeat(repeats, 1).repeat(repeats, 2)[:, : shape[0], : shape[1]]


METHOD_TARGETS = (1, 3)


def method_weights() -> dict[str, dict[str, np.ndarray]]:
  """Weights of `tests.small_net.SmallNet`: kernels `[3, 3, in, out]`, `[in, out]`, biases."""
  random = np.random.RandomState(3)
  sizes = {'conv1': (3, 3, 3, 8), 'conv2': (3, 3, 8, 12), 'conv3': (3, 3, 12, 10), 'fc': (10, 5)}
  return {
    layer: {
      'kernel': np.float32(random.randn(*size) * np.sqrt(2 / np.prod(size[:-1]))),
      'bias': np.float32(0.1 * random.randn(size[-1])),
    }
    for layer, size in sizes.items()
  }


def method_images() -> np.ndarray:
  """float32 `[2, 32, 32, 3]` in [0, 1]."""
  return np.random.RandomState(4).rand(2, 32, 32, 3).astype(np.float32)


def metric_noise() -> np.ndarray:
  """Six perturbations of the images, float32 `[6, 2, 32, 32, 3]`."""
  return (0.5 * np.random.RandomState(5).randn(6, 2, 32, 32, 3)).astype(np.float32)


def metric_masks() -> np.ndarray:
  """Which pixels are deleted, six times, float32 `[6, 2, 32, 32]`, zeros and ones."""
  return (np.random.RandomState(6).rand(6, 2, 32, 32) < 0.2).astype(np.float32)


TOLERANCES = (0, 1, 5, 15)  # pixels


def judged_maps() -> tuple[np.ndarray, np.ndarray]:
  """Heatmaps float32 `[24, 33, 40]` in [-0.5, 1], and masks bool of that shape; none is empty.

  The maximum of the first is 15 pixels from the only pixel of its mask.
  """
  random = np.random.RandomState(5)
  heatmaps = np.float32(random.rand(24, 33, 40) * 1.5 - 0.5)
  masks = np.zeros(heatmaps.shape, bool)
  for mask in masks:
    top, left = random.randint(30), random.randint(36)
    mask[top : top + random.randint(1, 12), left : left + random.randint(1, 12)] = True
  heatmaps[0, 20, 22], masks[0] = 2, False
  masks[0, 20 - 9, 22 - 12] = True
  return heatmaps, masks


# A training that torch has recorded: a small ResNet, 20 steps of 8 pictures.
TRAINED_NET = {'classes': 5, 'depths': (1, 1), 'width': 4}
TRAINED_SGD = {'lr': 0.05, 'momentum': 0.9, 'weight_decay': 1e-4}
TRAINED_FALLS = (10, 15)  # After so many steps the learning rate is a tenth of what it was.
TRAINED_SMOOTHING = 0.1


def training_batches() -> tuple[np.ndarray, np.ndarray]:
  """(uint8 `[20, 8, 16, 16, 3]`, labels `[20, 8]`): classes differ in their mean colour."""
  random = np.random.RandomState(4)
  labels = random.randint(0, TRAINED_NET['classes'], (20, 8))
  colours = random.randint(60, 196, (TRAINED_NET['classes'], 3))
  noise = random.randint(-60, 60, (20, 8, 16, 16, 3))
  return (colours[labels][:, :, None, None] + noise).astype(np.uint8), labels
