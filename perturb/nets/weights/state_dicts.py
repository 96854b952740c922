"""Finds the dicts of named tensors in what a checkpoint describes, wherever they are."""

from collections import deque
from collections.abc import Iterator, Mapping
import re
from typing import Any

from perturb.nets.weights.errors import CheckpointError
from perturb.nets.weights.pickles import Node
from perturb.nets.weights.tensors import Foreign, StateDict, Stored, is_tensor, tensor_of

_MAX_DEPTH = 8  # Of a state dict in its wrappers.
_MAX_NAME = 500  # Characters; longer ones are no names of tensors.
_MAX_ENTRIES = 500_000  # In all dicts together.
_MODULE_COST = 50  # Of a part of a network, in entries: parts that are shared are visited again.
# Words in the names of what has the tensors of a network but is not what was trained: running
# averages, the second network of methods that learn from one, an optimizer's, gradients.
_AVERAGES = frozenset(
  (
    *('ema', 'modelema', 'average', 'averaged', 'avg', 'swa', 'polyak', 'moving', 'shadow'),
    *(
      'teacher',
      'target',
      'momentum',
      'key',
      'k',
      'exp',
      'optimizer',
      'grad',
      'grads',
      'gradients',
    ),
  )
)


def is_average(where: str) -> bool:
  """Whether a place or a prefix is named as averages of weights are, or an optimizer's state."""
  return not _AVERAGES.isdisjoint(re.split('[^a-z]+', where.lower()))


def main_state_dict(found: Mapping[str, StateDict]) -> str:
  """The place of the state dict to take where no network says which one fits.

  It has at least half as many tensors as the largest. Of these, one in a list or under a number
  comes last, as an optimizer's are; then running averages; then those further down.
  """
  counts = {where: sum(map(is_tensor, state.values())) for where, state in found.items()}
  most = max(counts.values())
  order = {
    where: (any(part.isdecimal() for part in where.split('/')), is_average(where), number)
    for number, (where, count) in enumerate(counts.items())
    if 2 * count >= most
  }
  return min(order, key=order.__getitem__)


class _Search:
  def __init__(self) -> None:
    self.left = _MAX_ENTRIES
    self.known: dict[int, Stored | Foreign] = {}

  def spend(self, entries: int) -> None:
    self.left -= entries
    if self.left < 0:
      raise CheckpointError('it holds too many values; save model.state_dict() alone')

  def entries(self, node: Node) -> Iterator[tuple[str | int, Any]]:
    """A dict's, or those that a call of OrderedDict was given as pairs."""
    listed = node.name.endswith('OrderedDict') and len(node.items) == 1
    given = _elements(node.items[0]) if listed else []
    self.spend(len(given) + len(node.entries))
    pairs = [pair.items for pair in given if len(_elements(pair)) == 2]
    for key, value in [*pairs, *node.entries.items()]:
      if type(key) is int or (type(key) is str and len(key) <= _MAX_NAME):
        yield key, value

  def tensor(self, value: Any) -> Stored | Foreign:
    if not isinstance(value, Node):
      return tensor_of(value)
    if id(value) not in self.known:
      self.known[id(value)] = tensor_of(value)
    return self.known[id(value)]

  def named(self, node: Node) -> StateDict:
    return {str(key): self.tensor(value) for key, value in self.entries(node)}

  def of_module(self, module: Node) -> StateDict:
    """The state dict of a whole network that was pickled: its parts' parameters and buffers."""
    state: StateDict = {}
    parts = [('', module)]
    while parts:
      prefix, part = parts.pop()
      if not _is_module(part) or len(prefix) > _MAX_NAME:
        continue
      self.spend(_MODULE_COST)
      for kind in ('_parameters', '_buffers'):
        held = part.state.entries.get(kind)
        own = self.named(held) if isinstance(held, Node) else {}
        state |= {prefix + name: tensor for name, tensor in own.items() if is_tensor(tensor)}
      inner = self.entries(part.state.entries['_modules'])
      parts += reversed([(f'{prefix}{name}.', one) for name, one in inner])
    return state


def _elements(value: Any) -> list[Any]:
  return value.items if isinstance(value, Node) and value.kind in ('tuple', 'list') else []


def _is_module(node: Any) -> bool:
  return (
    isinstance(node, Node)
    and isinstance(node.state, Node)
    and all(isinstance(node.state.entries.get(key), Node) for key in ('_modules', '_parameters'))
  )


def find_state_dicts(root: Any) -> dict[str, StateDict]:
  """The dicts with at least one tensor, nearest first: place in the file -> name -> tensor.

  A place is the keys that lead there with slashes between, '' for the whole file. What is in a dict
  beside tensors stays in it as `Foreign`. A network that was pickled whole counts as the state dict
  that it would have given.

  Raises:
    CheckpointError: if there is none, or for more values than checkpoints have.
  """
  search = _Search()
  found: dict[str, StateDict] = {}
  seen: set[int] = set()
  places: deque[tuple[tuple[str, ...], Any]] = deque([((), root)])
  while places:
    path, node = places.popleft()
    if not isinstance(node, Node) or id(node) in seen:
      continue
    seen.add(id(node))
    whole = _is_module(node)
    state = search.of_module(node) if whole else search.named(node)
    if any(map(is_tensor, state.values())):
      found.setdefault('/'.join(path), state)
    if not whole and len(path) < _MAX_DEPTH:
      places += [((*path, str(key)), child) for key, child in _children(search, node)]
  if not found:
    raise CheckpointError(f'it holds no state dict (a dict of named tensors){_instead(root)}')
  return found


def _children(search: _Search, node: Node) -> Iterator[tuple[str | int, Any]]:
  yield from search.entries(node)
  if node.kind in ('list', 'tuple'):
    yield from ((i, item) for i, item in enumerate(node.items) if isinstance(item, Node))
  if isinstance(node.state, Node):
    yield from search.entries(node.state)


def _instead(root: Any) -> str:
  if isinstance(root, Node) and root.entries:
    name, value = next(iter(root.entries.items()))
    tensor = tensor_of(value)
    if isinstance(tensor, Foreign):
      return f', but {str(name)[:80]!r}, which {tensor.reason}'
  elif isinstance(root, Node) and root.kind == 'call':
    tensor = tensor_of(root)
    return f'; it {tensor.reason}' if isinstance(tensor, Foreign) else '; it is a single tensor'
  return ''
