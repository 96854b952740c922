"""The default solver on real photographs, against the scores that TorchRay reached there."""

import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from perturb.data.images import find_images, load_image
from perturb.methods.extremal import extremal_perturbation

# Written by benchmarks/extremal.py: TorchRay's scores after 800 iterations.
MEASURED = pathlib.Path(__file__).parents[2] / 'benchmarks' / 'extremal_cpu.json'


@pytest.mark.slow
def test_the_default_solver_reaches_torchrays_scores(lite0):
  rows = json.loads(MEASURED.read_text())['rows']
  areas = sorted({row['area'] for row in rows})
  names = list(dict.fromkeys(row['image'] for row in rows))
  theirs = np.array([row['torchray_score'] for row in rows]).reshape(len(names), len(areas))
  sources, _ = find_images(', '.join(names))
  x = jnp.stack([lite0.preprocess(load_image(source.path, size=224)) for source in sources])
  targets = np.asarray(lite0(x)).argmax(axis=1)
  result = extremal_perturbation(lite0, x, targets, areas)
  ahead = np.asarray(result.binary_scores) - theirs
  assert (ahead > 0).sum() >= ahead.size - 1
  assert ahead.mean() > 2
  np.testing.assert_allclose(result.mean_area, np.broadcast_to(areas, ahead.shape), atol=0.005)
  np.testing.assert_allclose(result.share_area, np.broadcast_to(areas, ahead.shape), atol=0.005)
