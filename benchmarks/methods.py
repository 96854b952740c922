"""Time of each method against the same method in Captum, pytorch-grad-cam or TorchRay, in turns.

  python -m benchmarks.methods --peer=path/of/the/peer/environment/bin/python

One run, the same shapes, weights at random. Methods that average over samples take as many on both
sides (--samples). Prints the median time of a call, the peer's, and their ratio.
"""

import functools
import json
import pathlib
import statistics
import tempfile
import time

from absl import app, flags
import jax
import numpy as np

from benchmarks.peer import Peer
from perturb import keep_freed_memory, nets
from perturb.methods import averaged_gradients as averaged
from perturb.methods import backprop, class_activation, excitation
from perturb.methods.lime import lime
from perturb.methods.occlusion import occlusion
from perturb.methods.rise import rise

PEER = flags.DEFINE_string('peer', None, 'Python of the environment with the peers.')
ONLY = flags.DEFINE_list('only', [], 'Names of methods; all by default.')
BATCHES = flags.DEFINE_list('batches', ['1', '8'], 'Images in a call.')
REPEATS = flags.DEFINE_integer('repeats', 7, 'Of each call; the median is reported.')
SAMPLES = flags.DEFINE_integer('samples', 8, 'Of the methods that average over samples.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')

GRID = np.indices((224, 224)) // 32
SEGMENTS = GRID[0] * 7 + GRID[1]


def cases() -> list[tuple[str, str, str, functools.partial]]:
  """(network, method, package of the peer, our call)."""
  samples = SAMPLES.value
  lite, resnet, alexnet, small = 'efficientnet_lite0', 'resnet50', 'alexnet', 'mnist'
  p = functools.partial
  return [
    (lite, 'gradient', 'Captum', p(backprop.gradient)),
    (lite, 'linear_approximation', 'Captum', p(backprop.linear_approximation)),
    (lite, 'grad_cam', 'Captum', p(class_activation.grad_cam)),
    (lite, 'grad_cam_plus_plus', 'pytorch-grad-cam', p(class_activation.grad_cam_plus_plus)),
    (lite, 'smooth_grad', 'Captum', p(averaged.smooth_grad, samples=samples)),
    (lite, 'integrated_gradients', 'Captum', p(averaged.integrated_gradients, steps=samples)),
    (lite, 'occlusion', 'Captum', p(occlusion, size=35, stride=27)),
    (lite, 'rise', 'TorchRay', p(rise, masks=samples)),
    (lite, 'lime', 'Captum', p(lime, segments=SEGMENTS, samples=samples)),
    (resnet, 'guided_backprop', 'Captum', p(backprop.guided_backprop)),
    (resnet, 'deconvnet', 'Captum', p(backprop.deconvnet)),
    (resnet, 'guided_grad_cam', 'Captum', p(class_activation.guided_grad_cam)),
    (alexnet, 'excitation_backprop', 'TorchRay', p(excitation.excitation_backprop)),
    (
      alexnet,
      'contrastive_excitation_backprop',
      'TorchRay',
      p(excitation.contrastive_excitation_backprop),
    ),
    (small, 'occlusion', 'Captum', p(occlusion, size=7, stride=3)),
    (small, 'rise', 'TorchRay', p(rise, masks=samples, cells=7)),
  ]


def measure(network: str, batch: int, peer: Peer, method: str, call) -> dict[str, float]:
  """Medians over interleaved calls, after one of each to warm up."""
  net = nets.load(network, 'random')
  x = np.random.RandomState(0).randn(batch, net.size, net.size, len(net.preprocessing.mean))
  x = x.astype(np.float32)
  request = {'network': network, 'method': method, 'samples': SAMPLES.value}
  jax.block_until_ready(call(net, x, 0))
  peer.ask(x, **request)
  ours, theirs = [], []
  for _ in range(REPEATS.value):
    start = time.perf_counter()
    jax.block_until_ready(call(net, x, 0))
    ours.append(time.perf_counter() - start)
    theirs.append(peer.ask(x, **request))
  medians = statistics.median(ours), statistics.median(theirs)
  return {
    'milliseconds': 1000 * medians[0],
    'peer_milliseconds': 1000 * medians[1],
    'ratio': medians[0] / medians[1],
  }


def main(_: list[str]) -> None:
  keep_freed_memory()  # As the command lines do.
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    peer = Peer(PEER.value, 'methods_peer.py', pathlib.Path(folder))
    print(f'{"method":32} {"network":18} {"batch":>5} {"ours, ms":>9} {"peer, ms":>9} {"ratio":>6}')
    for network, method, package, call in cases():
      if ONLY.value and method not in ONLY.value:
        continue
      for batch in map(int, BATCHES.value):
        row = {'method': method, 'network': network, 'peer': package, 'batch': batch}
        row |= measure(network, batch, peer, method, call)
        rows.append(row)
        print(
          f'{method:32} {network:18} {batch:5} {row["milliseconds"]:9.1f} '
          f'{row["peer_milliseconds"]:9.1f} {row["ratio"]:6.2f}',
          flush=True,
        )
      jax.clear_caches()
  if OUT.value:
    figures = {'jax': jax.__version__, 'backend': jax.default_backend(), 'methods': rows}
    pathlib.Path(OUT.value).write_text(json.dumps(figures, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
  flags.mark_flag_as_required('peer')
  app.run(main)
