"""Deletion and insertion curves, images a second on one core, against RISE's way in torch.

  taskset -c 0 python -m benchmarks.deletion --peer=path/of/the/peer/environment/bin/python

EfficientNet-Lite0 at 224 x 224, 224 pixels a step: 450 passes an image for both games. Both sides
have the same weights, images and heatmaps, and take turns. Prints the median processor time of an
image, so that other work on the machine counts little, the peer's, their ratio, and how far the
curves are apart, as a share of the highest score; also as JSON with --out.
"""

import json
import pathlib
import statistics
import tempfile
import time

from absl import app, flags
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peer import Peer
from perturb import keep_freed_memory, nets
from perturb.evaluate.deletion import deletion_insertion
from perturb.evaluate.substrates import window_taps

PEER = flags.DEFINE_string('peer', None, 'Python of the environment with torch.')
BATCHES = flags.DEFINE_list('batches', ['1', '4'], 'Images in a call.')
PIXELS = flags.DEFINE_integer('pixels', 224, 'Changed in a step.')
REPEATS = flags.DEFINE_integer('repeats', 3, 'Of each call; the median is reported.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')


def measure(net: nets.Pretrained, batch: int, peer: Peer) -> dict[str, float]:
  """Medians over interleaved calls, after one of each to warm up."""
  random = np.random.RandomState(batch)
  x = random.randn(batch, 7, 7, 3).repeat(32, 1).repeat(32, 2).astype(np.float32)
  heatmaps = random.rand(batch, net.size, net.size).astype(np.float32)
  targets = np.asarray(net(jnp.asarray(x)).argmax(1))
  request = {
    'heatmaps': str(peer.folder / 'heatmaps.npy'),
    'out': str(peer.folder / 'scores.npy'),
    'targets': targets.tolist(),
    'pixels': PIXELS.value,
    'taps': window_taps().astype(np.float32).tolist(),
  }
  np.save(request['heatmaps'], heatmaps)
  images = jnp.asarray(x)

  def ours():
    found = deletion_insertion(net, images, targets, heatmaps, pixels=PIXELS.value)
    return jax.block_until_ready(found)

  found = ours()
  peer.ask(x, **request)
  scores = np.stack([found.deletion, found.insertion])
  expected = np.load(request['out'])
  apart = float(np.abs(scores - expected).max() / expected.max())
  times: dict[str, list[float]] = {'ours': [], 'theirs': []}
  for _ in range(REPEATS.value):
    start = time.process_time()
    ours()
    times['ours'].append(time.process_time() - start)
    times['theirs'].append(peer.ask(x, **request))
  mine, theirs = (statistics.median(times[side]) / batch for side in ('ours', 'theirs'))
  return {
    'batch': batch,
    'seconds_an_image': mine,
    'peer_seconds_an_image': theirs,
    'ratio': mine / theirs,
    'relative_difference': apart,
  }


def main(_: list[str]) -> None:
  keep_freed_memory()  # As the command lines do.
  net = nets.load('efficientnet_lite0')
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    peer = Peer(PEER.value, 'deletion_peer.py', pathlib.Path(folder))
    for batch in map(int, BATCHES.value):
      rows.append(measure(net, batch, peer))
      print({name: float(f'{value:.3g}') for name, value in rows[-1].items()}, flush=True)
  if OUT.value:
    made = {'jax': jax.__version__, 'pixels': PIXELS.value, 'rows': rows}
    pathlib.Path(OUT.value).write_text(json.dumps(made, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
  flags.mark_flag_as_required('peer')
  app.run(main)
