"""Tables of a dataset as CSV files that others wrote, each row with its place for messages."""

from collections.abc import Iterator, Sequence
import csv
import pathlib

from perturb.errors import UserError


def rows_of(path: pathlib.Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
  """The rows of a table.

  Args:
    path: of a CSV file whose first line names the columns, in any order; UTF-8.
    columns: that it must have; it may have more.

  Yields:
    (where the row is, for messages; column -> its cell without spaces around it).

  Raises:
    UserError: names the file, the line, and what is wrong there.
  """
  try:
    with path.open(encoding='utf-8-sig', newline='') as file:
      reader = csv.reader(file, strict=True)
      header = [name.strip() for name in next(reader, [])]
      check_header(path, header, columns)
      for row in reader:
        place = f'{path} line {reader.line_num}'
        if len(row) != len(header):
          raise UserError(f'{place}: has {len(row)} cells; the header has {len(header)}')
        yield place, {name: cell.strip() for name, cell in zip(header, row, strict=True)}
  except FileNotFoundError as error:
    raise UserError(f'{path}: no such file') from error
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise UserError(f'{path}: cannot be read as CSV in UTF-8 ({error})') from error


def check_header(path: pathlib.Path, header: Sequence[str], columns: Sequence[str]) -> None:
  """Refuses a table without a column, or with two of a name."""
  if missing := [name for name in columns if name not in header]:
    raise UserError(
      f'{path}: the first line must name the columns {", ".join(columns)}; '
      f'{missing[0]!r} is missing'
    )
  if twice := [name for name in header if header.count(name) > 1]:
    raise UserError(f'{path}: the first line names the column {twice[0]!r} twice')


def whole_number(place: str, name: str, text: str, least: int = 1) -> int:
  """A cell that must be a whole number.

  Raises:
    UserError: names the place and the column.
  """
  if not (text.isascii() and text.isdigit() and int(text) >= least):
    raise UserError(f'{place}: {name} must be a whole number from {least}, not {text!r}')
  return int(text)
