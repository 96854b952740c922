"""The folder of a run that makes heatmaps: each is computed once, and timed."""

import csv
import pathlib
import time
from typing import Any

import jax
import ml_collections
import numpy as np
from PIL import Image

from perturb.errors import UserError
from perturb.figures.heatmaps import colour
from perturb.methods.registry import method_named
from perturb.nets import Pretrained
from perturb.run.subjects import Subject
from perturb.store import files
from perturb.store.workdir import Folder

REPEAT_BELOW = 30.0  # seconds: a shorter first call is made again, to time it without compilation
TIMINGS = ('image', 'method', 'seconds', 'compilation')


class Heatmaps(Folder):
  """`heatmaps/<image>/<method>.npy` (float32 `[H, W]`), `.png`, and `image.png`; `timings.csv`.

  Args:
    path: of the folder.
    config: of the run; another start may change `images` and `methods`.

  Raises:
    UserError: if it cannot be written, or holds results of another config.
  """

  def __init__(self, path: str, config: ml_collections.ConfigDict):
    super().__init__(path, config, 'heatmaps', free=('images', 'methods'))
    self.timings = self._read_timings()
    self.compiled: set[tuple[str, tuple[int, ...]]] = set()

  def _read_timings(self) -> dict[tuple[str, str], tuple[float, bool]]:
    try:
      with open(self.path / 'timings.csv', newline='') as file:
        return {
          (row['image'], row['method']): (float(row['seconds']), row['compilation'] == 'yes')
          for row in csv.DictReader(file)
        }
    except (OSError, KeyError, ValueError):
      return {}

  def _path(self, image: str, method: str) -> pathlib.Path:
    return self.results / image / f'{method.replace(":", "_")}.npy'

  def begin(self, subject: Subject) -> None:
    """Makes room for a picture; refuses another one of the same name."""
    name = subject.source.name
    path = self.results / name / 'image.png'
    if path.exists() and not np.array_equal(np.asarray(Image.open(path)), subject.image):
      raise UserError(
        f'{subject.source.path}: the workdir holds another picture named {name!r}; '
        'rename this one, or use another workdir'
      )
    path.parent.mkdir(exist_ok=True)
    files.write_atomically(path, files.png_bytes(subject.image))

  def obtain(
    self, net: Pretrained, subject: Subject, method: str, options: dict[str, Any]
  ) -> np.ndarray:
    """The heatmap `[H, W]` of a picture: what the folder holds, or a new one.

    Raises:
      UserError: as the method, or for a heatmap that is not finite.
    """
    path = self._path(subject.source.name, method)
    if not path.exists():
      self._add(path, subject, method, *self._compute(net, subject, method, options))
    try:
      return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
      raise UserError(f'{path}: not a heatmap ({error}); remove it') from error

  def _compute(
    self, net: Pretrained, subject: Subject, method: str, options: dict[str, Any]
  ) -> tuple[np.ndarray, float, bool]:
    """(heatmap, seconds, whether these include compilation)."""
    function = method_named(method)[1]

    def timed() -> tuple[np.ndarray, float]:
      begin = time.perf_counter()
      heat = jax.block_until_ready(function(net, subject.x[None], subject.target, **options))
      return np.asarray(heat)[0], time.perf_counter() - begin

    program = (method, subject.x.shape)
    heat, seconds = timed()
    if program not in self.compiled and seconds < REPEAT_BELOW:
      self.compiled.add(program)
      heat, seconds = timed()
    compilation = program not in self.compiled
    self.compiled.add(program)
    if not np.isfinite(heat).all():
      raise UserError('the heatmap has values that are not numbers')
    return heat.astype(np.float32), seconds, compilation

  def _add(
    self,
    path: pathlib.Path,
    subject: Subject,
    method: str,
    heatmap: np.ndarray,
    seconds: float,
    compilation: bool,
  ) -> None:
    files.write_atomically(
      path.with_suffix('.png'), files.png_bytes(colour(heatmap, subject.picture))
    )
    self.timings[subject.source.name, method] = (seconds, compilation)
    rows = [(*key, f'{s:.4f}', 'yes' if c else 'no') for key, (s, c) in self.timings.items()]
    files.write_table(self.path / 'timings.csv', TIMINGS, rows)
    files.write_atomically(path, files.npy_bytes(heatmap))  # Last: it says that all is there.

  def seconds(self, method: str) -> float:
    """The median time of a method, without compilation where there is such a time."""
    known = [value for (_, name), value in self.timings.items() if name == method]
    warm = [seconds for seconds, compilation in known if not compilation]
    return float(np.median(warm or [seconds for seconds, _ in known] or [np.nan]))
