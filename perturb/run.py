"""The loop of a run: images -> explain -> store -> figures and report."""

from collections.abc import Callable, Iterator
import sys
import time
from typing import Any, get_args

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import tqdm

from perturb import store
from perturb.data.images import Fit, Source, find_images, load_image
from perturb.errors import UserError, check_choice
from perturb.extremal import (
  ExtremalResult,
  Game,
  Objective,
  Perturbation,
  check_areas,
  extremal_perturbation,
  kept_fraction,
  settings_of,
  smallest_area,
)
from perturb.function import class_scores, default_chunk
from perturb.nets import Pretrained, load
from perturb.perturbations import pyramid
from perturb.workdir import Workdir

TABLE = ('image', 'class', 'area asked', 'area got', 'score kept', 'a*', 'seconds')


def _check(config: ml_collections.ConfigDict) -> None:
  """Everything that can be refused before any work is done."""
  check_areas(config.areas)
  settings_of(config.mode, **config.settings)
  for name, choices in (
    ('fit', Fit),
    ('game', Game),
    ('objective', Objective),
    ('perturbation', Perturbation),
  ):
    check_choice(f'config.{name}', config[name], get_args(choices))
  for name, smallest in (('levels', 2), ('chunk', 0), ('sigma_max', 0)):
    if config[name] < smallest:
      raise UserError(f'config.{name} must be at least {smallest}, not {config[name]}')
  iterations = config.settings.get('iterations', 1)
  if iterations < 1:
    raise UserError(f'config.settings.iterations must be at least 1, not {iterations}')


def _groups(areas: tuple[float, ...], chunk: int) -> Iterator[tuple[float, ...]]:
  for start in range(0, len(areas), chunk):
    yield areas[start : start + chunk]


def _concatenate(parts: list[ExtremalResult]) -> ExtremalResult:
  """Results of the same images at different areas, as one."""

  def join(name: str, values: list[np.ndarray]) -> Any:
    if name in ('full_score', 'blank_score'):
      return values[0]
    return np.concatenate(values, axis=0 if name == 'areas' else 1)

  return ExtremalResult(
    **{
      name: join(name, [np.asarray(getattr(part, name)) for part in parts])
      for name in ExtremalResult._fields
    }
  )


@jax.jit
def _all_scores(f: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
  return class_scores(f(x))


def _target(net: Pretrained, config: ml_collections.ConfigDict) -> int:
  """The index that the config names."""
  if not config.layer:
    return net.class_index(config.target)
  if not config.target.isdigit():
    raise UserError(
      f'config.target: a channel of {config.layer} is a number, not {config.target!r}'
    )
  return int(config.target)


def explain(
  net: Pretrained, source: Source, config: ml_collections.ConfigDict, tick: Callable[[int], None]
) -> tuple[store.Explanation, np.ndarray]:
  """Explains one picture.

  Args:
    net: the network.
    source: the picture.
    config: as configs/extremal.py.
    tick: called with the number of areas done, each time some are.

  Returns:
    (the explanation, `[A]` seconds for each area).

  Raises:
    UserError: names the file or the field that does not fit.
  """
  image = load_image(source.path, size=net.size, fit=config.fit)
  picture = load_image(source.path, size=2 * net.size, fit=config.fit)
  x = net.preprocess(image)
  f = net.part(stop=config.layer or None)
  scores = np.asarray(_all_scores(f, x[None]))[0]
  if not np.isfinite(scores).all():
    raise UserError(f'{source.path}: the network gives a score that is not a number')
  target = int(scores.argmax()) if config.target == '' else _target(net, config)
  areas = check_areas(config.areas)
  chunk = min(config.chunk or default_chunk(x.shape[:2]), len(areas))
  shared: dict[str, Any] = {name: config[name] for name in ('perturbation', 'levels', 'sigma_max')}
  if config.mode != 'torchray':  # TorchRay fades to zero, the training mean.
    shared['fade_to'] = tuple(net.preprocess(np.zeros(3, np.uint8)).tolist())
  options = {name: config[name] for name in ('mode', 'game', 'objective')} | shared
  options |= {'key': jax.random.key(config.seed), 'chunk': chunk, **config.settings}
  parts, seconds = [], []
  for group in _groups(areas, chunk):
    start = time.perf_counter()
    part = jax.block_until_ready(extremal_perturbation(f, x, target, group, **options))
    seconds += [(time.perf_counter() - start) / len(group)] * len(group)
    parts.append(part)
    tick(len(group))
  blank = pyramid(jnp.asarray(x), normalised=config.mode != 'torchray', **shared)[0]
  result = _concatenate(parts)
  if not np.isfinite(result.scores).all():
    raise UserError(f'{source.path}: the solver reached a score that is not a number')
  probability = float('nan') if config.layer else float(jax.nn.softmax(scores)[target])
  name = f'{config.layer}, channel {target}' if config.layer else net.class_name(target)
  return store.Explanation(
    source.name,
    name,
    target,
    probability,
    image,
    picture,
    net.to_image(np.asarray(blank)),
    config.threshold,
    result,
  ), np.array(seconds)


def _stored(
  net: Pretrained, source: Source, config: ml_collections.ConfigDict, folder: Workdir
) -> store.Explanation | None:
  """What the workdir holds of a picture, if anything."""
  path = folder.result_path(source.name)
  if not path.exists():
    return None
  explanation = store.load(path)
  image = load_image(source.path, size=net.size, fit=config.fit)
  if not np.array_equal(image, explanation.image):
    raise UserError(
      f'{source.path}: the workdir holds another picture named {source.name!r}; '
      'rename this one, or use another workdir'
    )
  return explanation


def _rows(
  explanation: store.Explanation, timings: dict[tuple[str, str], str]
) -> list[tuple[Any, ...]]:
  result = explanation.result
  smallest = smallest_area(result, explanation.threshold)[0]
  star = '-' if np.isnan(smallest) else f'{smallest:g}'
  kept = kept_fraction(result, np.inf)[0]
  return [
    (
      explanation.name,
      explanation.class_name,
      f'{area:g}',
      f'{result.mean_area[0, i]:.4f}',
      f'{kept[i]:.2f}',
      star,
      f'{float(timings.get((explanation.name, f"{area:g}"), "nan")):.1f}',
    )
    for i, area in enumerate(result.areas)
  ]


def format_table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
  """A plain-text table; numbers to the right."""
  cells = [header, *[tuple(str(value) for value in row) for row in rows]]
  widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
  lines = [
    '  '.join(
      cell.ljust(w) if i < 2 else cell.rjust(w)
      for i, (cell, w) in enumerate(zip(row, widths, strict=True))
    ).rstrip()
    for row in cells
  ]
  return '\n'.join([lines[0], '-' * max(map(len, lines)), *lines[1:]])


class Progress:
  """A bar on a terminal, a plain line an image otherwise."""

  def __init__(self, total: int | None, unit: str):
    self.terminal = sys.stderr.isatty()
    self.bar = tqdm.tqdm(total=total, unit=unit, disable=not self.terminal, leave=False)

  def begin(self, name: str) -> None:
    self.bar.set_description(name)
    if not self.terminal:
      print(f'{name} ...', file=sys.stderr, flush=True)

  def say(self, line: str) -> None:
    self.bar.clear()
    print(line, file=sys.stderr, flush=True)


def run(config: ml_collections.ConfigDict, workdir: str) -> int:
  """Explains the pictures of a config; what a workdir already holds is not computed again.

  The workdir gets `config.json`, `versions.json`, `results/<image>.npz` (see `perturb.store.load`),
  `scores.csv`, `timings.csv`, `figures/*.png`, `report.html`, and `failures.csv` where something
  failed.

  Args:
    config: as configs/extremal.py.
    workdir: folder; made if missing.

  Returns:
    The number of images or items that failed, each of which has been named on stderr.

  Raises:
    UserError: for a config that cannot be run at all.
  """
  _check(config)
  sources, problems = find_images(config.images)
  net = load(config.network, config.weights, config.preprocessing, config.class_names)
  net.part(stop=config.layer or None)  # Refuses a layer that is not there.
  if config.target != '':
    _target(net, config)
  folder = Workdir(workdir, config)
  progress = Progress(len(sources) * len(config.areas), 'mask')
  failures = [('', problem) for problem in problems]
  for problem in problems:
    progress.say(f'error: {problem}')
  explanations = []
  for source in sources:
    progress.begin(source.name)
    try:
      explanation = _stored(net, source, config, folder)
      if explanation:
        progress.bar.update(len(config.areas))
      else:
        explanation, seconds = explain(net, source, config, progress.bar.update)
        folder.add(explanation, seconds)
      folder.draw(explanation)
    except UserError as error:
      failures.append((source.path, str(error)))
      progress.say(f'error: {error}')
      continue
    explanations.append(explanation)
  progress.bar.close()
  folder.fail(failures, ('file', 'reason'))
  if explanations:
    timings = folder.seconds()
    print(format_table(TABLE, [row for e in explanations for row in _rows(e, timings)]))
    folder.summarise(explanations)
    count = len(explanations)
    print(f'\n{count} of {count + len(failures)} explained; see {folder.path / "report.html"}')
  return len(failures)
