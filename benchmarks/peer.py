"""The other side of a benchmark: a process of another environment, which works while we wait."""

import json
import pathlib
import subprocess

import numpy as np


class Peer:
  """Runs one of the `*_peer.py` scripts, driven line by line.

  Args:
    python: of the peer's environment.
    script: name of the file beside this one.
    folder: for the images that are handed over.
  """

  def __init__(self, python: str, script: str, folder: pathlib.Path):
    self.folder = folder
    self.process = subprocess.Popen(
      [python, str(pathlib.Path(__file__).with_name(script))],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      text=True,
    )

  def ask(self, x: np.ndarray, **request) -> float:
    """Seconds that the request took, measured in the other process."""
    return self.reply(x, **request)['seconds']

  def reply(self, x: np.ndarray, **request) -> dict[str, float]:
    """All that the other process says of the request."""
    path = self.folder / 'x.npy'
    np.save(path, x)
    print(json.dumps({'x': str(path), **request}), file=self.process.stdin, flush=True)
    return json.loads(self.process.stdout.readline())
