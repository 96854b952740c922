"""Finds the state dict of a checkpoint that fits a network, and the prefix of its names.

Training scripts put a state dict under a key of their own, and wrappers put a prefix before each
name: `module.`, `_orig_mod.`, `model.backbone.`. Neither is known by a list here. A prefix is what
is left of a name in the file when a name that the network needs is taken off its end. The one with
the most such names is the prefix. Names outside of it are left aside, as a projection head's beside
an `encoder.`; a name with the prefix that belongs to no layer is an error.

Of several state dicts or prefixes that fit, plain weights come before running averages of them
(a name with the word `ema`, for example), and the first in the file before others.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
import dataclasses
import heapq
from typing import Any

from perturb.nets.layers import Conv, Dense, WindowDense
from perturb.nets.network import Network
from perturb.nets.weights.errors import shown, shown_shape
from perturb.nets.weights.state_dicts import is_average
from perturb.nets.weights.tensors import Foreign
from perturb.nets.weights.torch_names import torch_shapes

Shape = tuple[int, int, int]
State = Mapping[str, Any]  # Name -> what has a shape and a dtype, or `Foreign`.

_TRIED = 8  # Pairs of a state dict and a prefix that are compared by shapes.
_MAX_CLASSES = 1_000_000
_EXAMPLES = 3


@dataclasses.dataclass(frozen=True)
class Fit:
  """How far a state dict fits a network.

  Attributes:
    network: the network, with the classes that it was compared with.
    where: the place of the state dict in the file; '' for the whole file.
    prefix: what stands before each name.
    names: the name that a tensor needs -> its name in the file, for those that are there.
    needed: the names of the tensors that the network needs.
    aside: how many names are outside the prefix.
    wrong: what keeps it from fitting, a line a tensor.
    theirs: some names in the file, for a message.
  """

  network: Network
  where: str
  prefix: str
  names: dict[str, str]
  needed: list[str]
  aside: int
  wrong: list[str]
  theirs: str

  def place(self) -> str:
    """Which tensors of the file these are, for a message: '' if they are all of it."""
    prefix = f'prefix {shown(self.prefix)}' if self.prefix else ''
    where = f'state dict {shown(self.where)}' if self.where else ''
    aside = f'{self.aside} left aside' if self.prefix and self.aside else ''
    return ', '.join(filter(None, (where, prefix, aside)))

  def complaint(self) -> str:
    """The first thing that is wrong, and how much of the network is there, in a line."""
    more = f' (and {len(self.wrong) - 1} more)' if self.wrong[1:] else ''
    place = f' ({self.place()})' if self.place() else ''
    there = f'; {len(self.names)} of {len(self.needed)} names are there{place}'
    few = 2 * len(self.names) < len(self.needed)
    names = f'; those in the file are like {self.theirs}, those needed like {self.ours()}'
    return f'{self.wrong[0]}{more}{there}{names if few else ""}'

  def ours(self) -> str:
    """Some names that the network needs, for a message."""
    return ', '.join(map(repr, self.needed[:_EXAMPLES]))


def has_layers_of(network: Network, states: Mapping[str, State]) -> bool:
  """Whether any name is that of weights of one of a network's layers: quick, by names alone."""
  weights = {
    f'{network.torch_module(layer.name)}.weight'
    for layer in network.build_layers()
    if getattr(layer.build, 'func', None) in (Conv, Dense, WindowDense)
  }
  return any(_prefixes(state, weights) for state in states.values())


def names_like(states: Mapping[str, State]) -> str:
  """Some names of the tensors of the largest state dict, for a message."""
  return _theirs(max(states.values(), key=len))


def best_fit(network: Network, shape: Shape, states: Mapping[str, State]) -> Fit:
  """The state dict that fits a network best, and the prefix of its names.

  Args:
    network: the architecture.
    shape: of an input, `[H, W, C]`.
    states: the state dicts by their places in the file.
  """
  return _best(network, shape, states, lambda *_: network.classes)


def best_fit_of_any_classes(network: Network, shape: Shape, states: Mapping[str, State]) -> Fit:
  """The same, where the network takes the number of classes from the state dict."""

  def classes(state: State, prefix: str) -> int:
    weight = state.get(f'{prefix}{network.torch_module(network.logits)}.weight')
    count = next(iter(getattr(weight, 'shape', ())), 0)
    return count if 0 < count <= _MAX_CLASSES else network.classes

  return _best(network, shape, states, classes)


def _best(
  network: Network,
  shape: Shape,
  states: Mapping[str, State],
  count_classes: Callable[[State, str], int],
) -> Fit:
  fits = []
  for where, prefix in _candidates(states, set(torch_shapes(network, shape))):
    classes = count_classes(states[where], prefix)
    needed = torch_shapes(network, shape, classes)
    fits.append(_fit(network.clone(classes=classes), needed, where, prefix, states[where]))
  right = [fit for fit in fits if not fit.wrong]
  plain = [fit for fit in right if not is_average(f'{fit.where}/{fit.prefix}')]
  return (plain or right or fits)[0]


def _candidates(states: Mapping[str, State], needed: set[str]) -> list[tuple[str, str]]:
  """(place, prefix) of those with the most names that are needed, the best first."""
  counts = {
    (where, prefix): (count, not is_average(f'{where}/{prefix}'))
    for where, state in states.items()
    for prefix, count in _prefixes(state, needed).items()
  }
  if not counts:
    return [(max(states, key=lambda where: len(states[where])), '')]
  return heapq.nlargest(_TRIED, counts, key=counts.__getitem__)


def _prefixes(names: Iterable[str], needed: set[str]) -> Counter[str]:
  """How many of the names that are needed stand behind each prefix."""
  parts = max(name.count('.') for name in needed) + 1
  counts: Counter[str] = Counter()
  for name in names:
    pieces = name.rsplit('.', parts)
    for cut in range(max(len(pieces) - parts, 0), len(pieces)):
      ending = '.'.join(pieces[cut:])
      if ending in needed:
        counts[name.removesuffix(ending)] += 1
  return counts


def _fit(
  network: Network,
  needed: dict[str, list[tuple[int, ...]]],
  where: str,
  prefix: str,
  state: State,
) -> Fit:
  kind = type(network).__name__
  inside = {name.removeprefix(prefix): name for name in state if name.startswith(prefix)}
  names = {name: inside[name] for name in needed if name in inside}
  wrong = [
    f'tensor {name!r} {why}; {kind} needs {needed[name][0]}'
    for name, theirs in names.items()
    if (why := _misfit(state[theirs], needed[name]))
  ]
  wrong += [
    f'tensor {name!r} of shape {shapes[0]} is missing for {kind}'
    for name, shapes in needed.items()
    if name not in names
  ]
  left = [
    name
    for name in inside
    if name not in needed
    and not name.endswith('num_batches_tracked')
    and not network.unused(name)
    and not _is_no_tensor(state[inside[name]])
  ]
  wrong += [f'tensor {shown(name)} belongs to no layer of {kind}' for name in sorted(left)]
  aside = len(state) - len(inside)
  return Fit(network, where, prefix, names, [*needed], aside, wrong, _theirs(state))


def _misfit(tensor: Any, shapes: list[tuple[int, ...]]) -> str:
  if isinstance(tensor, Foreign):
    return tensor.reason
  if tensor.shape not in shapes:
    return f'has shape {shown_shape(tensor.shape)}'
  return 'has complex numbers' if tensor.dtype.kind == 'c' else ''


def _is_no_tensor(one: Any) -> bool:
  return isinstance(one, Foreign) and not one.is_tensor


def _theirs(state: State) -> str:
  names = [name for name, one in state.items() if not _is_no_tensor(one)]
  return ', '.join(map(shown, names[:_EXAMPLES]))
