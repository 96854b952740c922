"""What a pickle describes, without running it.

A pickle is a program for a small stack machine. `pickle.load` runs it, and lets it import and call
anything. The machine here follows the same instructions, but an import, a call and an object are
only written down, each as a `Node`. Nothing is imported, called, hashed or compared.

The work is bounded. An instruction takes a constant time, those that empty the stack to a mark
excepted, and there are at most `MAX_STEPS` of them. Long texts, long numbers and bytes are passed
over, since no name of a tensor is one.
"""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import pickle
import struct
from typing import Any, BinaryIO, NamedTuple

from perturb.nets.weights.errors import CheckpointError
from perturb.nets.weights.pickle_bytes import MAX_NUMBER, MAX_TEXT, TEXT_STEP, PickleBytes

MAX_STEPS = 600_000  # Making a node counts as two.


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Node:
  """Something that a pickle describes, other than a number, a text, a truth value or None.

  Attributes:
    kind: 'tuple', 'list', 'dict', 'set', 'name' (of what would be imported), 'call' (or a new
      object), 'persistent' (a reference to what the pickle does not hold) or 'other'.
    name: of a 'name'; of what a 'call' would call; what an 'other' is.
    items: the elements; the arguments of a call, or its only argument if that is no tuple.
    entries: by key. An entry whose key is neither a text nor an integer is left out.
    state: what a new object would be given.
  """

  kind: str
  name: str = ''
  items: list[Any] = dataclasses.field(default_factory=list)
  entries: dict[str | int, Any] = dataclasses.field(default_factory=dict)
  state: Any = None


class Description(NamedTuple):
  """What `described` gives.

  Attributes:
    root: what the whole pickle describes.
    persistent: all nodes of that kind, in order.
  """

  root: Any
  persistent: list[Node]


@contextlib.contextmanager
def described(file: BinaryIO, end: int, steps: int = MAX_STEPS) -> Iterator[Description]:
  """What the pickle at the position of a file describes; the file is left behind it.

  The nodes are empty after the `with`: they are taken apart one by one there, since a nest of any
  depth would else be taken apart by as deep a recursion.

  Args:
    file: to read from.
    end: position in the file that the pickle may not pass.
    steps: how many instructions it may have.

  Raises:
    CheckpointError: for a pickle that is truncated, damaged or too long.
  """
  machine = _Machine(file, end, steps)
  try:
    yield Description(machine.run(), machine.persistent)
  finally:
    machine.take_apart()


class _Machine(PickleBytes):
  def __init__(self, file: BinaryIO, end: int, steps: int) -> None:
    super().__init__(file, end, steps)
    self.stack: list[Any] = []
    self.marks: list[int] = []
    self.memo: dict[int, Any] = {}
    self.made: list[Node] = []
    self.persistent: list[Node] = []

  def run(self) -> Any:
    try:
      while (code := self.file.read(1)) != pickle.STOP:
        self.spend(1)
        _ACTIONS[code](self)
      root = self.stack.pop()
    except (LookupError, ValueError, TypeError, AttributeError, struct.error) as error:
      if isinstance(error, CheckpointError):
        raise
      where = f'at byte {self.file.tell()}'
      reason = 'truncated' if self.file.tell() >= self.end else 'damaged'
      raise CheckpointError(f'{reason} {where}, in the description of the tensors') from error
    if self.file.tell() > self.end:
      raise CheckpointError('truncated in the description of the tensors')
    return root

  def take_apart(self) -> None:
    for node in self.made:
      node.items = node.state = node.entries = None  # type: ignore[assignment]

  # Making.

  def make(self, kind: str, name: str = '', items: list[Any] | None = None) -> Node:
    node = Node(kind, name, [] if items is None else items)
    self.spend(1)
    self.made.append(node)
    self.stack.append(node)
    return node

  def text(self, data: bytes | None, encoding: str = 'utf-8') -> None:
    if data is None:
      self.make('other', 'long text')
      return
    try:
      # Python 3 writes halves of surrogate pairs so; Python 2 writes any bytes.
      self.stack.append(data.decode(encoding, 'surrogatepass'))
    except UnicodeDecodeError:
      self.stack.append(data.decode('latin-1'))

  def counted_text(self, layout: str) -> None:
    count = self.integer(layout)
    if count > MAX_TEXT:
      self.skip(count)
      self.text(None)
    else:
      self.spend(count // TEXT_STEP)
      self.text(self.take(count))

  def quoted(self) -> None:
    line = self.line()
    # A name has no escapes, and what has them is some other text.
    self.text(None if line is None or b'\\' in line else line.strip()[1:-1])

  def number(self, convert: Callable[[bytes], Any]) -> None:
    line = self.line()
    if line is None or len(line) > MAX_NUMBER:
      self.make('other', 'long number')
    else:
      self.stack.append(convert(line))

  def long(self, layout: str) -> None:
    count = self.integer(layout)
    if count > MAX_NUMBER:
      self.skip(count)
      self.make('other', 'long number')
    else:
      self.stack.append(int.from_bytes(self.take(count), 'little', signed=True))

  def other(self, name: str, count: int) -> None:
    self.skip(count)
    self.make('other', name)

  def name(self, module: Any, name: Any) -> None:
    known = isinstance(module, str) and isinstance(name, str)
    self.make('name', f'{module}.{name}' if known else 'something without a name')

  def lines_name(self) -> None:
    module, name = self.line(), self.line()
    if module is None or name is None:
      self.name(None, None)
    else:
      self.name(module.decode('utf-8'), name.decode('utf-8'))

  def stack_name(self) -> None:
    name, module = self.stack.pop(), self.stack.pop()
    self.name(module, name)

  def call(self, function: Any, items: list[Any]) -> None:
    named = isinstance(function, Node) and function.kind == 'name'
    self.make('call', function.name if named else 'something without a name', items)

  def call_top(self, extra: int) -> None:
    """Calls what is below the arguments, with `extra` (named arguments) above them."""
    del self.stack[len(self.stack) - extra :]
    arguments, function = self.stack.pop(), self.stack.pop()
    is_tuple = isinstance(arguments, Node) and arguments.kind == 'tuple'
    self.call(function, arguments.items if is_tuple else [arguments])

  def call_instance(self) -> None:
    self.lines_name()
    function = self.stack.pop()
    self.call(function, self.pop_to_mark())

  def call_object(self) -> None:
    function, *items = self.pop_to_mark()
    self.call(function, items)

  def persist(self, key: Any) -> None:
    self.persistent.append(self.make('persistent', items=[key]))

  # The stack.

  def pop_to_mark(self) -> list[Any]:
    start = self.marks.pop()
    items = self.stack[start:]
    del self.stack[start:]
    return items

  def pop(self) -> None:
    if self.marks and self.marks[-1] == len(self.stack):
      self.marks.pop()
    else:
      self.stack.pop()

  def short_tuple(self, count: int) -> None:
    start = len(self.stack) - count
    if start < 0:
      raise ValueError
    items = self.stack[start:]
    del self.stack[start:]
    self.make('tuple', items=items)

  def extend(self, items: list[Any]) -> None:
    self.stack[-1].items.extend(items)

  def set_entries(self, items: list[Any]) -> None:
    entries = self.stack[-1].entries
    for key, value in zip(items[::2], items[1::2], strict=True):
      if type(key) in (str, int):
        entries[key] = value

  def set_entry(self) -> None:
    value, key = self.stack.pop(), self.stack.pop()
    self.set_entries([key, value])

  def make_dict(self) -> None:
    items = self.pop_to_mark()
    self.make('dict')
    self.set_entries(items)

  def build(self) -> None:
    state = self.stack.pop()
    self.stack[-1].state = state

  def put(self, key: int) -> None:
    self.memo[key] = self.stack[-1]

  def get(self, key: int) -> None:
    self.stack.append(self.memo[key])


def _integer_or_truth(line: bytes) -> int | bool:
  return {b'00': False, b'01': True}.get(line, int(line))


_ACTIONS: dict[bytes, Callable[[_Machine], Any]] = {
  # Of the pickle itself.
  pickle.PROTO: lambda m: m.take(1),
  pickle.FRAME: lambda m: m.take(8),
  # Texts and numbers.
  pickle.NONE: lambda m: m.stack.append(None),
  pickle.NEWTRUE: lambda m: m.stack.append(True),
  pickle.NEWFALSE: lambda m: m.stack.append(False),
  pickle.BININT: lambda m: m.stack.append(m.integer('<i')),
  pickle.BININT1: lambda m: m.stack.append(m.integer('<B')),
  pickle.BININT2: lambda m: m.stack.append(m.integer('<H')),
  pickle.BINFLOAT: lambda m: m.stack.append(m.integer('>d')),
  pickle.INT: lambda m: m.number(_integer_or_truth),
  pickle.LONG: lambda m: m.number(lambda line: int(line.rstrip(b'L'))),
  pickle.FLOAT: lambda m: m.number(float),
  pickle.LONG1: lambda m: m.long('<B'),
  pickle.LONG4: lambda m: m.long('<i'),
  pickle.STRING: lambda m: m.quoted(),
  pickle.UNICODE: lambda m: m.text(m.line(), 'raw-unicode-escape'),
  pickle.BINSTRING: lambda m: m.counted_text('<i'),
  pickle.SHORT_BINSTRING: lambda m: m.counted_text('<B'),
  pickle.BINUNICODE: lambda m: m.counted_text('<I'),
  pickle.SHORT_BINUNICODE: lambda m: m.counted_text('<B'),
  pickle.BINUNICODE8: lambda m: m.counted_text('<Q'),
  pickle.BINBYTES: lambda m: m.other('bytes', m.integer('<I')),
  pickle.SHORT_BINBYTES: lambda m: m.other('bytes', m.integer('<B')),
  pickle.BINBYTES8: lambda m: m.other('bytes', m.integer('<Q')),
  pickle.BYTEARRAY8: lambda m: m.other('bytearray', m.integer('<Q')),
  pickle.NEXT_BUFFER: lambda m: m.other('buffer outside the file', 0),
  pickle.READONLY_BUFFER: lambda _: None,
  # Containers.
  pickle.EMPTY_TUPLE: lambda m: m.make('tuple'),
  pickle.TUPLE1: lambda m: m.short_tuple(1),
  pickle.TUPLE2: lambda m: m.short_tuple(2),
  pickle.TUPLE3: lambda m: m.short_tuple(3),
  pickle.TUPLE: lambda m: m.make('tuple', items=m.pop_to_mark()),
  pickle.EMPTY_LIST: lambda m: m.make('list'),
  pickle.LIST: lambda m: m.make('list', items=m.pop_to_mark()),
  pickle.APPEND: lambda m: m.extend([m.stack.pop()]),
  pickle.APPENDS: lambda m: m.extend(m.pop_to_mark()),
  pickle.EMPTY_SET: lambda m: m.make('set'),
  pickle.FROZENSET: lambda m: m.make('set', items=m.pop_to_mark()),
  pickle.ADDITEMS: lambda m: m.extend(m.pop_to_mark()),
  pickle.EMPTY_DICT: lambda m: m.make('dict'),
  pickle.DICT: lambda m: m.make_dict(),
  pickle.SETITEM: lambda m: m.set_entry(),
  pickle.SETITEMS: lambda m: m.set_entries(m.pop_to_mark()),
  # Names, calls and objects, which stay words.
  pickle.GLOBAL: lambda m: m.lines_name(),
  pickle.STACK_GLOBAL: lambda m: m.stack_name(),
  pickle.EXT1: lambda m: m.other('extension', 1),
  pickle.EXT2: lambda m: m.other('extension', 2),
  pickle.EXT4: lambda m: m.other('extension', 4),
  pickle.REDUCE: lambda m: m.call_top(0),
  pickle.NEWOBJ: lambda m: m.call_top(0),
  pickle.NEWOBJ_EX: lambda m: m.call_top(1),
  pickle.INST: lambda m: m.call_instance(),
  pickle.OBJ: lambda m: m.call_object(),
  pickle.BUILD: lambda m: m.build(),
  pickle.PERSID: lambda m: m.persist(m.line()),
  pickle.BINPERSID: lambda m: m.persist(m.stack.pop()),
  # The stack and the memo.
  pickle.MARK: lambda m: m.marks.append(len(m.stack)),
  pickle.POP: lambda m: m.pop(),
  pickle.POP_MARK: lambda m: m.pop_to_mark(),
  pickle.DUP: lambda m: m.stack.append(m.stack[-1]),
  pickle.MEMOIZE: lambda m: m.put(len(m.memo)),
  pickle.PUT: lambda m: m.put(m.line_integer()),
  pickle.BINPUT: lambda m: m.put(m.integer('<B')),
  pickle.LONG_BINPUT: lambda m: m.put(m.integer('<I')),
  pickle.GET: lambda m: m.get(m.line_integer()),
  pickle.BINGET: lambda m: m.get(m.integer('<B')),
  pickle.LONG_BINGET: lambda m: m.get(m.integer('<I')),
}
