"""A forward and backward pass of each network, against torch: same shapes, one run, in turns.

  python -m benchmarks.networks --peer=path/of/the/peer/environment/bin/python

The backward pass goes to the image, as in attribution; weights are random. Prints, for each
network and batch, the median time of a call, torch's, and their ratio; also as JSON with --out.
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

PEER = flags.DEFINE_string('peer', None, 'Python of the environment with torch and torchvision.')
NETWORKS = flags.DEFINE_list('networks', list(nets.NETWORKS), 'Those to measure.')
BATCHES = flags.DEFINE_list('batches', ['1', '8'], 'Images in a pass.')
REPEATS = flags.DEFINE_integer('repeats', 15, 'Of each pass; the median is reported.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')


@jax.jit
def one_pass(net: nets.Pretrained, x: jax.Array) -> jax.Array:
  """The gradient of the first logit with respect to the images."""
  return jax.grad(lambda x: net(x)[:, 0].sum())(x)


def measure(name: str, batch: int, peer: Peer) -> dict[str, float]:
  """Medians over interleaved passes, after one of each to warm up."""
  net = nets.load(name, 'random')
  shape = (batch, net.size, net.size, len(net.preprocessing.mean))
  x = np.random.RandomState(0).randn(*shape).astype(np.float32)
  images = jnp.asarray(x)
  start = time.perf_counter()
  jax.block_until_ready(one_pass(net, images))
  compiled = time.perf_counter() - start
  peer.ask(x, network=name)
  ours, theirs = [], []
  for _ in range(REPEATS.value):
    start = time.perf_counter()
    jax.block_until_ready(one_pass(net, images))
    ours.append(time.perf_counter() - start)
    theirs.append(peer.ask(x, network=name))
  return {
    'milliseconds': 1000 * statistics.median(ours),
    'torch_milliseconds': 1000 * statistics.median(theirs),
    'ratio': statistics.median(ours) / statistics.median(theirs),
    'first_call_seconds': compiled,
  }


def main(_: list[str]) -> None:
  keep_freed_memory()  # As the command lines do.
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    peer = Peer(PEER.value, 'torch_peer.py', pathlib.Path(folder))
    print(f'{"network":20} {"batch":>5} {"ours, ms":>9} {"torch, ms":>9} {"ratio":>6}')
    for name in NETWORKS.value:
      for batch in map(int, BATCHES.value):
        row = {'network': name, 'batch': batch, **measure(name, batch, peer)}
        rows.append(row)
        print(
          f'{name:20} {batch:5} {row["milliseconds"]:9.1f} {row["torch_milliseconds"]:9.1f} '
          f'{row["ratio"]:6.2f}',
          flush=True,
        )
      jax.clear_caches()
  if OUT.value:
    figures = {'jax': jax.__version__, 'backend': jax.default_backend(), 'passes': rows}
    pathlib.Path(OUT.value).write_text(json.dumps(figures, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
  flags.mark_flag_as_required('peer')
  app.run(main)
