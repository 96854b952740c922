import os
import pathlib
import tempfile

import jax
import pytest

import perturb

# Compiled programs are shared by the tests, the commands they start, and the next run.
CACHE = (
  pathlib.Path(os.environ.get('PERTURB_TEST_CACHE', tempfile.gettempdir())) / 'perturb-test-cache'
)
jax.config.update('jax_compilation_cache_dir', str(CACHE))
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)


@pytest.fixture(scope='session')
def lite0():
  """EfficientNet-Lite0 with its ImageNet weights."""
  return perturb.nets.load('efficientnet_lite0')
