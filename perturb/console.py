"""What a run says while it goes on: a bar on a terminal, plain lines otherwise."""

import io
import logging
import sys
import time
from typing import Any

import tqdm

from perturb.errors import printable

LINE_EVERY = 10.0  # seconds


def quiet() -> None:
  """Keeps libraries from reporting what went well, and accelerators that are not there."""
  for name in ('absl', 'jax._src.distributed', 'jax._src.xla_bridge', 'orbax'):
    logging.getLogger(name).setLevel(logging.WARNING)


def show_any_text() -> None:
  """Lets a console show what its encoding has, and the rest as escapes."""
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(errors='backslashreplace')


def format_table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
  """A plain-text table; numbers to the right."""
  cells = [header, *[tuple(printable(str(value)) for value in row) for row in rows]]
  widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
  lines = [
    '  '.join(
      cell.ljust(w) if i < 2 else cell.rjust(w)
      for i, (cell, w) in enumerate(zip(row, widths, strict=True))
    ).rstrip()
    for row in cells
  ]
  return '\n'.join([lines[0], '-' * max(map(len, lines)), *lines[1:]])


def duration(seconds: float) -> str:
  """42 -> '42 s', 600 -> '10 min', 9000 -> '2.5 h'."""
  if seconds < 120:
    return f'{seconds:.0f} s'
  return f'{seconds / 60:.0f} min' if seconds < 7200 else f'{seconds / 3600:.1f} h'


def percent(share: float) -> str:
  """0.05 -> '5 %', 0.0125 -> '1.25 %', 1 / 3 -> '33.3 %': three digits, none of them idle."""
  return f'{percentage(share)} %'


def percentage(share: float) -> str:
  """As `percent`, where an axis or a column says what the number is."""
  value = round(100 * share, 2)
  return f'{value:.0f}' if abs(value) >= 1000 else f'{value:.3g}'


class Progress:
  """A bar on a terminal, plain lines on stderr otherwise.

  Args:
    total: units in all, if known.
    unit: what is counted, in the singular.
  """

  def __init__(self, total: int | None, unit: str):
    self.terminal = sys.stderr.isatty()
    self.bar = tqdm.tqdm(total=total, unit=unit, disable=not self.terminal, leave=False)
    self.total, self.unit, self.done = total, unit, 0
    self._start = self._last = time.perf_counter()

  def expect(self, total: int) -> None:
    """Says how many there are, once that is known."""
    self.total = total
    self.bar.reset(total)

  def leave_out(self, seconds: float) -> None:
    """Leaves some time, as that of compilation, out of the rate."""
    self._start += seconds

  def begin(self, name: str) -> None:
    """Says what is being worked on."""
    self.bar.set_description(name)
    if not self.terminal:
      print(f'{name} ...', file=sys.stderr, flush=True)

  def advance(self, count: int) -> None:
    """Some more are done. Without a bar, a line now and then and at the end says how many."""
    self.bar.update(count)
    self.done += count
    now = time.perf_counter()
    due = self.done == self.total or now - self._last > LINE_EVERY
    if self.terminal or self.total is None or not count or not due:
      return
    self._last = now
    rate = self.done / (now - self._start)
    left = duration((self.total - self.done) / rate)
    self.say(f'{self.done} of {self.total} {self.unit}s, {rate:.3g} {self.unit}s/s, {left} left')

  def say(self, line: str) -> None:
    """A line that stays."""
    self.bar.clear()
    print(printable(line), file=sys.stderr, flush=True)

  def close(self) -> None:
    """Takes the bar away."""
    self.bar.close()
