"""The responses of all features, against a plain forward pass of the same network, in turns.

  python -m benchmarks.responses

Weights are random. Prints the median time of each in milliseconds, and their ratio; also as JSON
with --out. Where batch normalisation and ReLU are layers of their own, a plain pass never writes
their outputs down; the responses read each of them.
"""

import json
import pathlib
import statistics
import time

from absl import app, flags
import jax
import jax.numpy as jnp
import numpy as np

from concepts.features import features_of
from concepts.filter_norms import responses
from perturb import keep_freed_memory, nets

NETWORKS = flags.DEFINE_list('networks', ['efficientnet_lite0', 'vgg_f', 'flower'], 'To measure.')
BATCHES = flags.DEFINE_list('batches', ['1', '8'], 'Images in a pass.')
REPEATS = flags.DEFINE_integer('repeats', 15, 'Of each; the median is reported.')
OUT = flags.DEFINE_string('out', '', 'File for the figures, as JSON.')


def measure(name: str, batch: int) -> dict[str, float]:
  """Medians over interleaved passes, after one of each to warm up."""
  net = nets.load(name, 'random')
  features = features_of(net)
  shape = (batch, net.size, net.size, len(net.preprocessing.mean))
  x = jnp.asarray(np.random.RandomState(0).randn(*shape), jnp.float32)
  passes = {'plain': lambda: net(x), 'responses': lambda: responses(net, x, features)}
  times: dict[str, list[float]] = {name: [] for name in passes}
  for repeat in range(REPEATS.value + 1):
    for which, run in passes.items():
      start = time.perf_counter()
      jax.block_until_ready(run())
      if repeat:
        times[which].append(1000 * (time.perf_counter() - start))
  plain, ours = (statistics.median(times[which]) for which in ('plain', 'responses'))
  return {'features': features.count, 'plain': plain, 'responses': ours, 'ratio': ours / plain}


def main(_: list[str]) -> None:
  keep_freed_memory()  # As the command lines do.
  rows = []
  print(f'{"network":20} {"batch":>5} {"features":>8} {"plain":>8} {"responses":>9} {"ratio":>6}')
  for name in NETWORKS.value:
    for batch in map(int, BATCHES.value):
      row = {'network': name, 'batch': batch, **measure(name, batch)}
      rows.append(row)
      print(
        f'{name:20} {batch:5} {row["features"]:8} {row["plain"]:8.1f} {row["responses"]:9.1f} '
        f'{row["ratio"]:6.2f}',
        flush=True,
      )
  if OUT.value:
    figures = {'jax': jax.__version__, 'backend': jax.default_backend(), 'passes': rows}
    pathlib.Path(OUT.value).write_text(json.dumps(figures, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
  app.run(main)
