"""A run's folder: it belongs to one config, which it holds, and to one run at a time."""

from collections.abc import Sequence
import json
import pathlib
import platform
import re
from typing import Any

import jax
from jax.experimental import multihost_utils
import ml_collections
import numpy as np

from perturb.errors import UserError
from perturb.nested import flatten
from perturb.store import files
from perturb.store.lock import Lock, hold

VERSION = '0.1.0'  # Of this package; recorded with every run.
# Fields that runs of this version may have begun without: there they have any value.
YOUNGER = ('batch', 'labels', 'task')
# Of the fields in which a config differs, a message shows so many, and so many letters of each.
DECISIVE, SHOWN, LONGEST = ('task', 'network', 'weights', 'method', 'mode', 'target'), 3, 40


class Workdir:
  """A folder with `config.json`, `versions.json` and results; made if missing.

  It is this run's for as long as this object is there; see `perturb.store.lock`.

  Args:
    path: of the folder.
    config: of the run.
    results: names of the subfolders where results may be; the first is made.
    free: names of the fields that another start may change.

  Raises:
    UserError: if it cannot be written, is in use by another run, or holds results of another
      config.
  """

  def __init__(
    self,
    path: str,
    config: ml_collections.ConfigDict,
    results: Sequence[str],
    free: Sequence[str] = (),
  ):
    self.path = pathlib.Path(path)
    self.config = config
    self.results = self.path / results[0]
    if re.search('[\ud800-\udfff]', str(self.path.absolute())):
      raise UserError(f'workdir {path}: its name is no UTF-8; use another workdir')
    try:
      self.results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise UserError(f'workdir {path}: cannot be written ({error.strerror})') from error
    self._lock = _hold_for_all(self.path)
    self._refuse_another_config([self.path / name for name in results], set(free))
    versions = {
      'perturb': VERSION,
      'jax': jax.__version__,
      'python': platform.python_version(),
      'devices': f'{jax.device_count()} {jax.devices()[0].device_kind}',
    }
    if jax.process_index() == 0:
      self.write('config.json', config.to_json(indent=2) + '\n')
      self.write('versions.json', json.dumps(versions, indent=2) + '\n')

  def _refuse_another_config(self, results: Sequence[pathlib.Path], free: set[str]) -> None:
    path = self.path / 'config.json'
    held = [folder for folder in results if folder.is_dir() and any(folder.iterdir())]
    if not path.exists() or not held:
      return
    try:
      old = flatten(json.loads(path.read_text()))
    except ValueError as error:
      raise UserError(f'{path}: not a config; use another workdir') from error
    new = flatten(json.loads(self.config.to_json()))
    changed = [
      name
      for name in sorted({*old, *new}, key=_decisive_first)
      if name.split('.')[0] not in free
      and not ('methods' in free and self._is_of_a_new_method(name))
      and old.get(name) != new.get(name)
      and not (name in YOUNGER and name not in old and not _decides(name, new))
    ]
    if changed:
      shown = changed[: 1 if changed[0] == 'task' else SHOWN]
      differ = [f'{name} was {_short(old, name)}, is {_short(new, name)}' for name in shown]
      more = len(changed) - len(shown)
      raise UserError(
        f'workdir {self.path} holds a run with another config: {"; ".join(differ)}'
        f'{f"; and {more} more" if more else ""}; use another workdir, or remove it'
      )

  def _is_of_a_new_method(self, field: str) -> bool:
    """Whether a field is an option of a method of which nothing is stored."""
    room, _, rest = field.partition('.')
    method = rest.split('.')[0].replace(':', '_')
    return room == 'options' and not any(self.results.glob(f'*/{method}/zarr.json'))

  def write(self, name: str, content: str | bytes) -> None:
    """Writes a file, whole or not at all."""
    data = content.encode() if isinstance(content, str) else content
    files.write_atomically(self.path / name, data)


def _decisive_first(name: str) -> tuple[int, str]:
  """Sorts fields: first those that say what the whole run is about."""
  rank = DECISIVE.index(name) if name in DECISIVE else len(DECISIVE)
  return rank, name


def _short(config: dict[str, Any], name: str) -> str:
  text = repr(config[name]) if name in config else 'not set'
  return text if len(text) <= LONGEST else f'{text[: LONGEST - 3]}...'


def _hold_for_all(path: pathlib.Path) -> Lock | None:
  """Process 0 takes the workdir for all processes of a run; if it cannot, all of them end."""
  lock, problem = None, ''
  if jax.process_index() == 0:
    try:
      lock = hold(path)
    except UserError as error:
      problem = str(error)
  refused = bool(problem)
  if jax.process_count() > 1:
    refused = bool(multihost_utils.broadcast_one_to_all(np.int32(refused)))
  if refused:
    raise UserError(problem or f'workdir {path}: process 0 says why it cannot be used')
  return lock


def _decides(name: str, config: dict[str, Any]) -> bool:
  """Whether results depend on a field: labels once went by rank where the numbers agreed."""
  return name == 'labels' and config.get('target') == 'label'
