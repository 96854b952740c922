"""The peer of benchmarks/concept_vectors.py: concept vectors in PyTorch, one concept at a time.

It has the structure of the released code: the activations of a batch are compared with the
thresholds, weighted, summed and upsampled; autograd and torch.optim.SGD do the rest. 'lean' has
them binarised beforehand, the filters last, and sums these by a matrix product. Pictures and masks
are in memory, so that nothing is timed but training. Runs in an environment of its own:

  pip install numpy torch==2.13.0
"""

import json
import sys
import time

import numpy as np
import torch


def pixel_loss(chances, labels, alpha, loss):
  there, elsewhere = (
    (chances, 1 - chances) if loss == 'overlap' else (chances.log(), (1 - chances).log())
  )
  present, absent = (alpha, 1 - alpha) if alpha > 0 else (1, 1)
  return -(present * labels * there + absent * (1 - labels) * elsewhere)


def train(
  active,
  masks,
  weights,
  *,
  epochs,
  alpha=None,
  batch_size=64,
  learning_rate=1e-4,
  momentum=0.9,
  loss='overlap',
  align_corners=True,
  steps=None,
  lean=False,
):
  """The vector after each step.

  Args:
    active: 1[A_k > T_k] of a slice of the concept's pictures: `[n, K, h, w]`.
    masks: L of the pictures, `[N, sh, sw]`.
    weights: of the filters before, `[K]`.
    steps: ends after so many.
    lean: filters come last, `[n, h, w, K]`, and are summed by a matrix product.
  """
  vector = torch.nn.Parameter(torch.tensor(weights))
  rule = torch.optim.SGD([vector], lr=learning_rate, momentum=momentum)
  upsample = torch.nn.Upsample(masks.shape[1:], mode='bilinear', align_corners=align_corners)
  alpha = 1 - float(masks.mean(dtype=np.float64)) if alpha is None else alpha
  found = []
  for _ in range(epochs):
    for begin in range(0, len(masks), batch_size):
      some = slice(begin, begin + batch_size)
      if lean:
        combined = (active(some) @ vector)[:, None]
      else:
        combined = (active(some) * vector[None, :, None, None]).sum(1, keepdim=True)
      chances = torch.sigmoid(upsample(combined))[:, 0]
      labels = torch.from_numpy(masks[some]).float()
      value = pixel_loss(chances, labels, alpha, loss).sum() / len(labels)
      rule.zero_grad()
      value.backward()
      rule.step()
      found.append(vector.detach().numpy().copy())
      if len(found) == steps:
        return found
  return found


def train_one(problem, activations, thresholds, number, weights, request):
  pairs = np.flatnonzero(problem['concept'] == number)
  pictures = torch.from_numpy(problem['picture'][pairs])
  masks = np.unpackbits(problem['masks'][pairs], axis=-1).reshape(-1, *problem['size'])

  def active(some):
    values = activations[pictures[some]]
    return values if request['lean'] else (values > thresholds).float()

  return train(active, masks, weights, epochs=request['epochs'], lean=request['lean'])


def main() -> None:
  replies, sys.stdout = sys.stdout, sys.stderr
  path = None
  for line in sys.stdin:
    request = json.loads(line)
    if request['problem'] != path:
      path = request['problem']
      problem = dict(np.load(path))
      activations = torch.from_numpy(problem['activations'])
      thresholds = torch.from_numpy(problem['thresholds'])[None, :, None, None]
      binarised = (activations > thresholds).float().permute(0, 2, 3, 1).contiguous()
    weights = np.load(request['x'])
    values = binarised if request['lean'] else activations
    wall, processor = time.perf_counter(), time.process_time()
    found = [
      train_one(problem, values, thresholds, number, weights[number], request)
      for number in request['concepts']
    ]
    seconds, processor = time.perf_counter() - wall, time.process_time() - processor
    np.save(request['out'], np.stack([vectors[-1] for vectors in found]))
    reply = {'seconds': seconds, 'processor': processor, 'steps': sum(map(len, found))}
    print(json.dumps(reply), file=replies, flush=True)


if __name__ == '__main__':
  main()
