"""What all tests share: the cache of compiled programs, the way they are compiled, a network."""

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

# Compiling is most of what the tests do, and a program of a test is run a few times: half the
# processor time is saved by compiling it without optimisations. XLA_FLAGS='' in the environment
# keeps the optimisations; so do the slow tests, which run for minutes.
QUICK = (
  '--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true '
  '--xla_cpu_use_fusion_emitters=false'
)


def pytest_configure(config):
  if config.option.markexpr == 'not slow and not system':
    os.environ.setdefault('XLA_FLAGS', QUICK)  # The commands that tests start inherit it.


@pytest.fixture(scope='session')
def lite0():
  """EfficientNet-Lite0 with its ImageNet weights."""
  return perturb.nets.load('efficientnet_lite0')


# These take longest: begun first, they leave no process alone at the end.
LONGEST = (
  'test_survival',
  'test_train',
  'tasks/test_studies',
  'test_launch',
  'tasks/test_extremal',
)


def pytest_collection_modifyitems(items):
  items.sort(key=lambda item: not any(name in item.nodeid for name in LONGEST))
