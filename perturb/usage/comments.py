"""The fields of a config as its file explains them: the comment beside each, or above it.

Read from the source: a config is a flat list of `config.name = value  # What it is.`
"""

import ast
from collections.abc import Iterator
import importlib.util
import io
import pathlib
import tokenize
from typing import NamedTuple


class Comment(NamedTuple):
  """What a config file says of a field.

  Attributes:
    text: the comment beside the field, or above it.
    section: what the fields around it are: a comment above several, or the docstring of the
      function that sets them.
  """

  text: str
  section: str


def first_line(documented: ast.Module | ast.FunctionDef) -> str:
  """The first line of a docstring, or ''."""
  return (ast.get_docstring(documented) or '').partition('\n')[0]


def comments_of(path: pathlib.Path) -> dict[str, Comment]:
  """Dotted name -> what is said of it; what the file itself says goes before what it imports."""
  found: dict[str, Comment] = {}
  for file in _chain(path):
    for name, comment in _in_file(file, own=file == path):
      known = found.setdefault(name, comment)
      if not known.text and '.' not in name:  # Set anew, without another word.
        found[name] = known._replace(text=comment.text)
  return found


def _chain(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """A config file, and those of configs/ that it starts from."""
  yield path
  for node in ast.parse(path.read_text(encoding='utf-8')).body:
    if isinstance(node, ast.ImportFrom) and node.module == 'configs':
      for alias in node.names:
        spec = importlib.util.find_spec(f'configs.{alias.name}')
        if spec and spec.origin:
          yield from _chain(pathlib.Path(spec.origin))


def _in_file(path: pathlib.Path, *, own: bool) -> Iterator[tuple[str, Comment]]:
  source = path.read_text(encoding='utf-8')
  module, lines = ast.parse(source), _Lines(source)
  for function in module.body:
    if not isinstance(function, ast.FunctionDef):
      continue
    whole = module if own or function.name == 'get_config' else function
    yield from _in_function(function, lines, first_line(whole))


def _in_function(
  function: ast.FunctionDef, lines: '_Lines', usual: str
) -> Iterator[tuple[str, Comment]]:
  section, last = usual, 0
  for statement in function.body:
    target = statement.targets[0] if isinstance(statement, ast.Assign) else None
    if not isinstance(target, ast.Attribute) or not isinstance(statement, ast.Assign):
      continue
    above = lines.above(statement.lineno)
    if lines.blank_between(last, statement.lineno):
      section = usual
    last = statement.end_lineno or statement.lineno
    nested = list(_nested(statement.value, target.attr, lines))
    beside = lines.beside(statement.lineno, last, {line for _, line, _ in nested})
    section = above if above and beside else section
    yield target.attr, Comment(beside or above, section)
    for name, _, text in nested:
      yield name, Comment(text, section)


def _nested(value: ast.expr, prefix: str, lines: '_Lines') -> Iterator[tuple[str, int, str]]:
  """(dotted name, line, comment) of each entry of a `ConfigDict({...})`."""
  if isinstance(value, ast.Call) and value.args:
    value = value.args[0]
  if not isinstance(value, ast.Dict):
    return
  for key, entry in zip(value.keys, value.values, strict=True):
    if isinstance(key, ast.Constant):
      name = f'{prefix}.{key.value!s}'
      yield name, key.lineno, lines.beside(key.lineno, entry.end_lineno or key.lineno)
      yield from _nested(entry, name, lines)


class _Lines:
  """The comments of a source file, by line."""

  def __init__(self, source: str):
    self._texts = source.splitlines()
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    self._comments = {
      token.start[0]: token.string.lstrip('#').strip()
      for token in tokens
      if token.type == tokenize.COMMENT
    }

  def _alone(self, line: int) -> bool:
    return line in self._comments and self._texts[line - 1].lstrip().startswith('#')

  def above(self, line: int) -> str:
    """The comment in whole lines right above a line."""
    found: list[str] = []
    while self._alone(line - 1 - len(found)):
      found.insert(0, self._comments[line - 1 - len(found)])
    return ' '.join(found)

  def beside(self, first: int, last: int, but: frozenset[int] | set[int] = frozenset()) -> str:
    """The first comment at the end of one of some lines."""
    ends = (n for n in range(first, last + 1) if n not in but and not self._alone(n))
    return next((self._comments[n] for n in ends if n in self._comments), '')

  def blank_between(self, first: int, last: int) -> bool:
    """Whether there is an empty line between two."""
    return any(not text.strip() for text in self._texts[first : last - 1])
