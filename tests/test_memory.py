"""Memory that is freed is kept for what comes next."""

import platform
import subprocess
import sys

import pytest

# Fills 64 MiB twenty times; prints the pages that the system handed out meanwhile.
PROGRAM = """
import resource
import numpy as np
from perturb.memory import keep_freed_memory
if {keep}:
  assert keep_freed_memory()
np.ones(2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
  np.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='of the GNU C library')
def test_freed_memory_is_used_again():
  faults = [
    int(subprocess.check_output([sys.executable, '-c', PROGRAM.format(keep=keep)], text=True))
    for keep in (True, False)
  ]
  assert faults[0] < 100 < faults[1]
