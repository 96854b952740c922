"""The loop of a training: stretches of steps, a checkpoint after each, an evaluation each epoch."""

import collections
from collections.abc import Iterator
import contextlib
import pathlib
import time
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from perturb.console import Progress
from perturb.errors import UserError
from perturb.store.files import write_table
from perturb.store.tensorboard import Metrics
from perturb.tasks.train_data import InMemory, Streamed
from perturb.tasks.train_evaluate import Evaluation
from perturb.tasks.train_setup import Setup
from perturb.training import sharding
from perturb.training.batches import Batch
from perturb.training.checkpoints import Checkpoints, Saved
from perturb.training.state import State, start, trained
from perturb.training.steps import Measured, make_epoch, make_step

TABLE = 'metrics.csv'
HISTORY = ('loss', 'accuracy', 'test_loss', 'test_accuracy', 'test_top5')
METRICS = ('epoch', 'step', 'learning_rate', *HISTORY)
ACCURACY = HISTORY.index('test_accuracy')
# Steps that are begun before the figures of the first of them are read: the devices always have
# work, and a loss that is no number is noticed so much later.
BEGUN = 8


class Figures(NamedTuple):
  """What a stretch of steps leaves on the host.

  Attributes:
    running: sums over the steps of this epoch so far, `[3]`: losses, accuracies, steps.
    seconds: that it took, of those that were measured (the first call compiles).
    pictures: that were trained on in these.
    waited: of these seconds, those that the host waited for pictures.
  """

  running: np.ndarray
  seconds: float
  pictures: int
  waited: float


class Stretches(Protocol):
  """What trains from one stop to the next."""

  def stop_after(self, step: int) -> int:
    """The next step after which a checkpoint may be made."""

  def train(self, state: State, step: int, stop: int, running: np.ndarray) -> tuple[State, Figures]:
    """The state after `stop` steps, from that after `step`."""

  def close(self) -> None:
    """Ends its threads."""


class Epochs:
  """Pictures in memory: one compiled program an epoch."""

  def __init__(self, config: ConfigDict, setup: Setup, data: InMemory):
    self._setup, self._key = setup, sharding.key_of(config.seed)
    several = jax.device_count() > 1
    self._epoch = make_epoch(
      setup.net, setup.optimiser, setup.recipe, config.batch_size, config.copies, several
    )
    known = np.flatnonzero(~data.test)
    arrays = data.examples.images, data.examples.labels.astype(np.int32), known.astype(np.int32)
    self._arrays = sharding.replicated(arrays)
    self.pictures = setup.steps * config.batch_size
    self._compiled = False

  def stop_after(self, step: int) -> int:
    """The end of the epoch."""
    return step + self._setup.steps

  def train(self, state: State, step: int, stop: int, running: np.ndarray) -> tuple[State, Figures]:
    """See `Stretches`."""
    begin = time.perf_counter()
    images, labels, members = self._arrays
    state, measured = self._epoch(state, images, labels, members, self._key)
    means = np.array([measured.loss, measured.accuracy, 1.0], np.float64)
    seconds = time.perf_counter() - begin
    _check_loss(means[0], step + 1, stop)
    counted, self._compiled = self._compiled, True
    return state, Figures(
      running + self._setup.steps * means, seconds * counted, self.pictures * counted, 0.0
    )

  def close(self) -> None:
    """It has no threads."""


class Steps:
  """Pictures that are read when their step comes: a compiled program a step."""

  def __init__(self, config: ConfigDict, setup: Setup, data: Streamed, first: int, log: 'Log'):
    self._setup, self._log, self._config = setup, log, config
    self._key = sharding.key_of(config.seed)
    self._step = make_step(setup.net, setup.optimiser, setup.recipe)
    self._batches: Iterator[Batch] = data.batches.start(first)
    self._compiled = False

  def stop_after(self, step: int) -> int:
    """The end of the epoch, or before it `config.checkpoint_steps` if there are any."""
    end = (step // self._setup.steps + 1) * self._setup.steps
    every = self._config.checkpoint_steps
    return min(end, (step // every + 1) * every) if every else end

  def train(self, state: State, step: int, stop: int, running: np.ndarray) -> tuple[State, Figures]:
    """See `Stretches`."""
    self._running, self._clock = running.copy(), _Clock(self._config.batch_size)
    begun = collections.deque[tuple[int, Measured]]()
    for number in range(step + 1, stop + 1):
      batch = next(self._batches)
      images, labels = sharding.spread((batch.images, batch.labels))
      state, measured = self._step(state, images, labels, self._key)
      for one in measured:
        one.copy_to_host_async()
      begun.append((number, measured))
      if not self._compiled:
        jax.block_until_ready(measured)
        self._compiled = True
        self._clock.begin()
      else:
        self._clock.count(batch.waited)
      if len(begun) > BEGUN:
        self._read(*begun.popleft())
    while begun:
      self._read(*begun.popleft())
    return state, Figures(self._running, *self._clock.read())

  def _read(self, number: int, measured: Measured) -> None:
    """The figures of a step that was begun a while ago."""
    values = np.array([measured.loss, measured.accuracy, 1.0], np.float64)
    _check_loss(values[0], number, number)
    self._running += values
    self._log.advance(self._config.batch_size)
    if number % self._config.log_steps == 0:
      self._log.write(number, values, *self._clock.read())

  def close(self) -> None:
    """Ends the threads that read pictures."""
    with contextlib.suppress(AttributeError):
      self._batches.close()  # type: ignore[attr-defined]


class _Clock:
  """Seconds and pictures since it began, without the call that compiles."""

  def __init__(self, batch_size: int):
    self._size = batch_size
    self.begin()

  def begin(self) -> None:
    self._start, self._pictures, self._waited = time.perf_counter(), 0, 0.0

  def count(self, waited: float) -> None:
    self._pictures += self._size
    self._waited += waited

  def read(self) -> tuple[float, int, float]:
    return time.perf_counter() - self._start, self._pictures, self._waited


class Log:
  """What a training reports while it goes on; process 0 for all.

  Args:
    workdir: of the run: the table of its epochs, and the folder of the TensorBoard files.
    setup: of the training.
    pictures: that are left to train on.
  """

  def __init__(self, workdir: pathlib.Path, setup: Setup, pictures: int):
    self._first = jax.process_index() == 0
    self._workdir, self._metrics, self._setup = workdir, Metrics(workdir / 'metrics'), setup
    self._progress = Progress(pictures, 'picture') if self._first else None

  def advance(self, pictures: int) -> None:
    """So many more were trained on."""
    if self._progress:
      self._progress.advance(pictures)

  def write(
    self, step: int, means: np.ndarray, seconds: float, pictures: int, waited: float
  ) -> None:
    """Figures of the training, at a step."""
    speed = {'images_per_second': pictures / seconds} if pictures and seconds else {}
    share = {'share_waiting': waited / seconds} if speed else {}
    self._write(
      step, loss=float(means[0]), accuracy=float(means[1]),
      learning_rate=self._setup.rate(step), **speed, **share,
    )  # fmt: skip

  def epoch(self, number: int, step: int, history: np.ndarray) -> None:
    """The figures of an epoch, and the table up to it."""
    values = dict(zip(HISTORY, map(float, history[number - 1]), strict=True))
    if self._first:
      tabulate(self._workdir, self._setup, history[:number])
    self._write(step, **{name: values[name] for name in HISTORY if name.startswith('test')})
    if self._progress:
      self._progress.bar.clear()
      print(
        f'epoch {number}: loss {values["loss"]:.4f}, test accuracy {values["test_accuracy"]:.4f}',
        flush=True,
      )

  def _write(self, step: int, **values: float) -> None:
    if self._first:
      self._metrics.write(step, **values)

  def close(self) -> None:
    """Takes the bar away."""
    if self._progress:
      self._progress.close()


def tabulate(workdir: pathlib.Path, setup: Setup, history: np.ndarray) -> None:
  """Writes `metrics.csv`, a line an epoch."""
  ends = [setup.steps * (epoch + 1) for epoch in range(len(history))]
  rows = [
    (i + 1, end, f'{setup.rate(end):.6g}', *(f'{value:.6g}' for value in row))
    for i, (end, row) in enumerate(zip(ends, history, strict=True))
  ]
  write_table(workdir / TABLE, METRICS, rows)


class Ended(NamedTuple):
  """What a training has made.

  Attributes:
    saved: after the last step.
    best: the state after the best epoch.
    best_epoch: its number, from 1.
  """

  saved: Saved
  best: State
  best_epoch: int


def train(
  config: ConfigDict,
  setup: Setup,
  data: InMemory | Streamed,
  evaluation: Evaluation,
  workdir: pathlib.Path,
  checkpoints: pathlib.Path,
) -> Ended:
  """Trains to the end, from the last checkpoint if there is one.

  Raises:
    UserError: if a loss is no number, with the step and the last good checkpoint; for a checkpoint
      that is damaged or of another network.
  """
  fresh = fresh_state(setup)
  with Checkpoints(checkpoints) as kept:
    saved, step = fresh, 0
    if kept.steps:
      step = kept.steps[-1]
      saved = kept.restore(step, fresh)
      if jax.process_index() == 0 and step < setup.epochs * setup.steps:
        print(f'going on after step {step} of {setup.epochs * setup.steps}', flush=True)
    left = setup.epochs * setup.steps - step
    log = Log(workdir, setup, left * config.batch_size)
    stretches: Stretches = (
      Epochs(config, setup, data)
      if isinstance(data, InMemory)
      else Steps(config, setup, data, step, log)
    )
    try:
      while step < setup.epochs * setup.steps:
        saved, step = _stretch(setup, evaluation, stretches, log, saved, step)
        kept.save(saved, step, best_epoch(saved.history) * setup.steps)
    except DivergedError as error:
      kept.wait()
      raise UserError(f'{error}; {_last_good(kept)}') from error
    finally:
      stretches.close()
      log.close()
    kept.wait()
    best = best_epoch(saved.history)
    state = saved.state if best == setup.epochs else kept.restore(best * setup.steps, fresh).state
    return Ended(saved, state, best)


def fresh_state(setup: Setup) -> Saved:
  """What a training begins with."""
  state = start(setup.net, setup.optimiser, setup.recipe)
  history = np.full((setup.epochs, len(HISTORY)), np.nan)
  return Saved(sharding.replicated(state), history, np.zeros(3))


def best_epoch(history: np.ndarray) -> int:
  """The first epoch with the highest accuracy on what is held out, from 1; 0 before any."""
  done = np.isfinite(history[:, ACCURACY])
  return int(np.where(done, history[:, ACCURACY], -1).argmax()) + 1 if done.any() else 0


def _stretch(
  setup: Setup, evaluation: Evaluation, stretches: Stretches, log: Log, saved: Saved, step: int
) -> tuple[Saved, int]:
  """(what a checkpoint holds after the next stretch, its step)."""
  stop = stretches.stop_after(step)
  state, figures = stretches.train(saved.state, step, stop, saved.running)
  _check_weights(state, stop)
  history, running = saved.history, figures.running
  if stop % setup.steps == 0:
    means, number = running[:2] / running[2], stop // setup.steps
    if isinstance(stretches, Epochs):
      log.write(stop, means, *figures[1:])
      log.advance(stretches.pictures)
    history = history.copy()
    history[number - 1] = *means, *evaluation.measure(trained(setup.net, state, averaged=True))
    running = np.zeros(3)
    log.epoch(number, stop, history)
  return Saved(state, history, running), stop


class DivergedError(Exception):
  """A loss or a weight that is no number."""


def _check_loss(loss: float, first: int, last: int) -> None:
  if not np.isfinite(loss):
    where = f'step {first}' if first == last else f'steps {first} to {last}'
    raise DivergedError(f'{where}: the loss is {loss}')


@jax.jit
def _finite(state: State) -> jax.Array:
  leaves = jax.tree.leaves((state.params, state.batch_stats, state.average))
  return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()


def _check_weights(state: State, step: int) -> None:
  if not _finite(state):
    raise DivergedError(f'step {step}: the weights are no longer finite')


def _last_good(kept: Checkpoints) -> str:
  remedy = 'take a smaller config.learning_rate, in another workdir'
  if not kept.steps:
    return f'there is no checkpoint before it; {remedy}'
  step = kept.steps[-1]
  return f'the last good checkpoint is {kept.path(step)}, of step {step}; {remedy}'
