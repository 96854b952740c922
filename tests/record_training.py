"""Records 20 steps of a training of a small ResNet by torch, for `tests/training/test_steps.py`.

Run once, in an environment with torch (2.13.0, never a dependency of this project):

  python -m tests.record_training
"""

import json
import pathlib

import numpy as np
import torch

from tests import fixtures, torch_networks

FILE = pathlib.Path(__file__).parent / 'recorded' / 'training.npz'


def record() -> None:
  """The weights and statistics before and after, and the loss of each step."""
  net = torch_networks.small_resnet(**fixtures.TRAINED_NET).train()
  shapes = {name: list(value.shape) for name, value in net.state_dict().items()}
  state = fixtures.torch_like_state(shapes)
  net.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
  rule = torch.optim.SGD(net.parameters(), **fixtures.TRAINED_SGD)
  schedule = torch.optim.lr_scheduler.MultiStepLR(rule, list(fixtures.TRAINED_FALLS), 0.1)
  images, labels = fixtures.training_batches()
  losses = []
  for batch, answers in zip(images, labels, strict=True):
    x = torch.tensor(batch.transpose(0, 3, 1, 2)).float() / 255 * 2 - 1
    loss = torch.nn.functional.cross_entropy(
      net(x), torch.tensor(answers), label_smoothing=fixtures.TRAINED_SMOOTHING
    )
    rule.zero_grad()
    loss.backward()
    rule.step()
    schedule.step()
    losses.append(loss.item())
  after = {
    name: value.numpy().astype(np.float32)
    for name, value in net.state_dict().items()
    if not name.endswith('num_batches_tracked')
  }
  np.savez_compressed(FILE, shapes=json.dumps(shapes), losses=np.float32(losses), **after)


if __name__ == '__main__':
  record()
