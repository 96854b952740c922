"""The text of `--help`: of the command, and of one config."""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
import pathlib
import re
import textwrap
from typing import Any, NamedTuple

from perturb.errors import did_you_mean
from perturb.usage.comments import comments_of, first_line

WIDTH, LEFT = 100, 36  # Columns: of a page, and of what stands left of a meaning.
ROOT = pathlib.Path(__file__).parents[2]  # The clone.
CHANNELS = 'Settings of channel attribution'  # A heading of docs/options.md.
SHARED = ('__init__', 'common')  # Files in configs/ that are no experiments.


class Described(NamedTuple):
  """An option of a method, as docs/options.md describes it, in words."""

  name: str
  type: str
  default: str
  meaning: str


def config_files() -> list[pathlib.Path]:
  """The experiments that come with the clone."""
  return [path for path in sorted(ROOT.glob('configs/*.py')) if path.stem not in SHARED]


def option_tables() -> dict[str, dict[str, list[Described]]]:
  """Heading -> method, wrapper or mode -> its options: docs/options.md, which a test keeps true."""
  path = ROOT / 'docs' / 'options.md'
  found: dict[str, dict[str, list[Described]]] = {}
  for line in path.read_text(encoding='utf-8').splitlines() if path.exists() else ():
    if heading := re.fullmatch('## (.+)', line):
      owners = found.setdefault(heading[1], {})
    elif heading := re.fullmatch('### `(.+)`', line):
      rows = owners.setdefault(heading[1], [])
    elif row := re.fullmatch(r'\| `(\w+)` \| (.*) \| (.*) \| (.*) \|', line):
      rows.append(Described(row[1], *(cell.replace('`', '') for cell in row.groups()[1:])))
  return found


def pairs(rows: Iterable[tuple[str, str]], left: int = LEFT) -> Iterator[str]:
  """Lines of two columns; the right one is wrapped, and begins a line of its own if it must."""
  for name, meaning in rows:
    first, *rest = textwrap.wrap(meaning, WIDTH - left) or ['']
    if len(name) > left - 4:
      yield from textwrap.wrap(name, WIDTH - 2, initial_indent='  ', subsequent_indent='      ')
      rest = [first, *rest] if first else rest
    else:
      yield f'  {name:<{left - 2}}{first}'.rstrip()
    yield from (' ' * left + line for line in rest)


def flag_lines(flags: Mapping[str, str]) -> list[str]:
  """Flag -> its help, one under the other."""
  return [*pairs((f'--{name}', meaning) for name, meaning in flags.items())]


def page(command: str, groups: Mapping[str, Mapping[str, str]]) -> str:
  """What `--help` says without a config.

  Args:
    command: how it is called.
    groups: title -> flag -> its help.
  """
  lines = [f'usage: {command}', '', 'Configs; with --help after it, each lists its fields:']
  lines += pairs((f'configs/{path.name}', _docstring(path)) for path in config_files())
  for title, flags in groups.items():
    lines += ['', f'{title}:', *flag_lines(flags)]
  return '\n'.join([*lines, '', *_how_to_set(), '', *_all_options()])


def _docstring(path: pathlib.Path) -> str:
  return first_line(ast.parse(path.read_text(encoding='utf-8')))


def _how_to_set() -> list[str]:
  return [
    'A field of the config is set by its name, and a nested one by its dotted name:',
    *pairs(
      (
        ('--config.images=chelsea', 'A field of any config.'),
        (
          '--config.settings.iterations=100',
          'A setting of the solver: configs/extremal*.py, channels*.py.',
        ),
        ('--config.options.masks=4000', 'An option of the one method of configs/heatmaps.py.'),
        ('--config.options.rise.masks=4000', 'An option of one of the methods of a config.'),
      ),
      left=38,
    ),
  ]


def _all_options() -> Iterator[str]:
  yield 'Their types, defaults and meanings: docs/options.md, or --help after --config.method=rise.'
  for heading, owners in option_tables().items():
    yield from ('', f'{heading}:')
    yield from pairs((owner, ', '.join(one.name for one in some)) for owner, some in owners.items())


def config_page(path: str, fields: Mapping[str, Any]) -> str:
  """What `--help` says of a config: its fields by section, then the options of its methods.

  Args:
    path: of the file.
    fields: dotted name -> value, the command line included.
  """
  comments = comments_of(pathlib.Path(path))
  about, sections = _docstring(pathlib.Path(path)), dict[str, list[tuple[str, str]]]()
  for name, value in sorted(fields.items(), key=lambda item: _rank(item[0], comments)):
    text, section = comments.get(name, ('', 'Set on the command line'))
    if name != 'task':
      shown = repr(dict(value) if hasattr(value, 'items') else value)
      title = 'Its own fields' if section == about else section
      sections.setdefault(title, []).append((f'{name} = {shown}', text))
  lines = [*textwrap.wrap(f'{path}: {about}', WIDTH), 'Each field is set as --config.NAME=VALUE.']
  for section, rows in sections.items():
    lines += ['', section.rstrip('.:') + ':', *pairs(rows)]
  return '\n'.join([*lines, *_options_of(fields)])


def _rank(name: str, comments: Mapping[str, Any]) -> int:
  """Its place in the files."""
  return [*comments, name].index(name)


def _options_of(fields: Mapping[str, Any]) -> Iterator[str]:
  tables = option_tables()
  options = {name: rows for owners in tables.values() for name, rows in owners.items()}
  if fields.get('task') == 'channels':  # Its modes may have the names of others.
    options = tables.get(CHANNELS, {})
  if 'method' in fields:
    yield from _owner(fields['method'], '--config.options.NAME=VALUE', options)
  elif 'mode' in fields and any(name.startswith('settings') for name in fields):
    yield from _owner(fields['mode'], '--config.settings.NAME=VALUE', options)
  elif 'methods' in fields:
    yield from ('', 'Options of its methods, set as --config.options.METHOD.NAME=VALUE:')
    names = {m: ', '.join(one.name for one in _parts(m, options)) for m in fields['methods']}
    yield from pairs(names.items())
    yield '  Their types, defaults and meanings: docs/options.md.'


def _parts(method: str, options: Mapping[str, Sequence[Described]]) -> list[Described]:
  """The options of a method; of a wrapped one, those of its wrapper too."""
  wrapper, _, base = method.rpartition(':')
  return [*options.get(base, ()), *(options.get(f'{wrapper}:NAME', ()) if wrapper else ())]


def _owner(name: str, form: str, options: Mapping[str, Sequence[Described]]) -> Iterator[str]:
  base = name.rpartition(':')[2]
  if base not in options:
    yield from ('', f'{name!r} is not known{did_you_mean(base, list(options))}')
    return
  yield from ('', f'Options of {name!r}, set as {form}:')
  yield from pairs(
    (f'{one.name} = {one.default}', f'{one.meaning} ({one.type})') for one in _parts(name, options)
  )
