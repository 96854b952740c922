"""Checkpoints of a training: the last and the best, each there whole or not at all."""

from collections.abc import Sequence
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from perturb.errors import StorageError, UserError
from perturb.training.state import State

# What a restored array may become: any number of devices has each whole.
Tree = Any


class Saved(NamedTuple):
  """What a training goes on from.

  Attributes:
    state: after so many steps.
    history: a row of figures for each epoch, float64 `[epochs, columns]`; NaN for those to come.
    running: sums over the steps of the epoch that has begun, float64 `[sums]`.
  """

  state: State
  history: np.ndarray
  running: np.ndarray


class _LastAndBest:
  """Which checkpoints stay: the last one, and that of a step.

  Args:
    best: the step.
  """

  def __init__(self) -> None:
    self.best = 0

  def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:  # noqa: ARG002
    """As orbax asks for it: whether each of the checkpoints, oldest first, stays."""
    last = len(checkpoints) - 1
    return [i == last or one.step == self.best for i, one in enumerate(checkpoints)]


class Checkpoints:
  """The checkpoints of a run, in a folder for each, `STEP`.

  They are written by threads while the training goes on (orbax). A process that is killed leaves
  what was finished; the rest is cleared away by the next start. All processes of a run make the
  same calls.

  Args:
    folder: of the checkpoints; made if missing.
  """

  def __init__(self, folder: pathlib.Path):
    self.folder = folder.absolute()
    self._policy = _LastAndBest()
    options = ocp.CheckpointManagerOptions(
      preservation_policy=self._policy, enable_async_checkpointing=True
    )
    self._manager = ocp.CheckpointManager(
      self.folder, options=options, item_handlers=ocp.StandardCheckpointHandler()
    )

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, *_: object) -> None:
    self._manager.close()

  @property
  def steps(self) -> list[int]:
    """The steps of the finished ones, in order."""
    return sorted(self._manager.all_steps())

  def path(self, step: int) -> pathlib.Path:
    """The folder of a checkpoint."""
    return self.folder / str(step)

  def save(self, saved: Saved, step: int, best: int) -> None:
    """Begins to write a checkpoint; those that are neither the last nor the best go after it.

    Args:
      saved: what to write; it may be overwritten once this returns.
      step: how many steps have been done.
      best: after how many the best checkpoint was made; 0 for none.

    Raises:
      StorageError: if this one or the one before cannot be written.
    """
    self._policy.best = best
    try:
      self._manager.save(step, args=ocp.args.StandardSave(saved._asdict()), force=True)
    except (OSError, ValueError, RuntimeError) as error:
      raise self._unwritten(error) from error

  def wait(self) -> None:
    """Waits until all are written.

    Raises:
      StorageError: if one cannot be.
    """
    try:
      self._manager.wait_until_finished()
    except (OSError, ValueError, RuntimeError) as error:
      raise self._unwritten(error) from error

  def _unwritten(self, error: Exception) -> StorageError:
    line = ' '.join(str(error).split())[:200]
    return StorageError(
      f'{self.folder}: a checkpoint cannot be written ({line}); start again to go on from the last '
      'that was'
    )

  def restore(self, step: int, like: Saved) -> Saved:
    """Reads a checkpoint.

    Args:
      step: one of `steps`.
      like: of the same shapes, types and devices.

    Raises:
      UserError: for a checkpoint of another network; StorageError: for a damaged one.
    """
    expected = like._asdict()
    self._check_shapes(step, expected)
    try:
      found = self._manager.restore(step, args=ocp.args.StandardRestore(expected))
    except Exception as error:  # Orbax and tensorstore raise what they like for a damaged file.
      raise self._damaged(step) from error
    return Saved(found['state'], np.asarray(found['history']), np.asarray(found['running']))

  def _check_shapes(self, step: int, expected: Tree) -> None:
    try:
      metadata = self._manager.item_metadata(step)
      tree = getattr(metadata, 'tree', metadata)
      found = _shapes(tree)
    except Exception as error:  # As of `restore`.
      raise self._damaged(step) from error
    if not found:
      raise self._damaged(step)
    wanted = _shapes(expected)
    for name in sorted({*found, *wanted}):
      if found.get(name) != wanted.get(name):
        was, now = (_in_words(shapes.get(name)) for shapes in (found, wanted))
        raise UserError(
          f'{self.path(step)}: a checkpoint of another network: {name} is {was} there, and {now} '
          f'here; use another workdir, or remove {self.folder}'
        )

  def _damaged(self, step: int) -> StorageError:
    others = [one for one in self.steps if one != step]
    rest = f'go on from step {others[-1]}' if others else 'begin anew'
    return StorageError(
      f'{self.path(step)}: a damaged checkpoint; remove it, and start again to {rest}'
    )


def _shapes(tree: Tree) -> dict[str, tuple[int, ...]]:
  """Dotted name of each array -> its shape; names alike for tuples and dictionaries."""
  leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda leaf: hasattr(leaf, 'shape'))
  return {
    '.'.join(str(_of_key(key)) for key in path): tuple(leaf.shape)
    for path, leaf in leaves
    if hasattr(leaf, 'shape')
  }


def _of_key(key: Any) -> Any:
  return next(getattr(key, name) for name in ('key', 'name', 'idx') if hasattr(key, name))


def _in_words(shape: tuple[int, ...] | None) -> str:
  return 'not' if shape is None else f'{list(shape)}'
