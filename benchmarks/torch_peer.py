"""The peer of benchmarks/networks.py: torch, driven line by line on stdin/stdout.

Runs in an environment of its own, from the root of this repository:

  pip install numpy torch==2.13.0 torchvision==0.28.0 efficientnet-lite-pytorch
"""

import functools
import json
import pathlib
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))


def main() -> None:
  import torch

  from tests import torch_networks

  replies, sys.stdout = sys.stdout, sys.stderr
  build = functools.cache(torch_networks.build)

  for line in sys.stdin:
    request = json.loads(line)
    net = build(request['network'])
    x = torch.tensor(np.load(request['x']).transpose(0, 3, 1, 2)).requires_grad_(True)
    start = time.perf_counter()
    torch.autograd.grad(net(x)[:, 0].sum(), x)
    print(json.dumps({'seconds': time.perf_counter() - start}), file=replies, flush=True)


if __name__ == '__main__':
  main()
