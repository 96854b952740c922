"""The README's first table and picture are what a reader gets from the command above them.

But for the masks: a CPU of another kind rounds otherwise, and 50 steps then lead to other masks.
"""

import re

import numpy as np
from PIL import Image
import pytest

from perturb.tasks.extremal import TABLE
from tests.pictures import PICTURES, make
from tests.test_docs import DOCUMENTS, ROOT, blocks, read


def test_every_picture_of_the_documents_has_its_commands():
  named = {
    name
    for document in DOCUMENTS
    for name in re.findall(r'!\[.*\]\((?:docs/)?(\S+)\)', read(document))
  }
  assert named == set(PICTURES) == {path.name for path in ROOT.glob('docs/*.[jp][pn]g')}


def rows_of(text):
  """The cells of each line of a printed table, without its seconds."""
  rows = [re.split(' {2,}', line.strip()) for line in text.splitlines()]
  return [row[:-1] for row in rows if len(row) == len(TABLE) and row != list(TABLE)]


@pytest.mark.slow
def test_the_readme_shows_what_its_command_gives(tmp_path, monkeypatch):
  (tmp_path / 'configs').symlink_to(ROOT / 'configs')
  monkeypatch.setenv('PYTHONPATH', str(ROOT))
  picture, printed = make(PICTURES['area_growth.png'], tmp_path)

  shown = rows_of(next(block.text for block in blocks('README.md') if block.language == 'text'))
  got = rows_of(printed)[: len(shown)]
  assert len(shown) >= 3
  for expected, row in zip(shown, got, strict=True):
    for column, text, found in zip(TABLE, expected, row, strict=False):
      if column == 'score kept':
        assert 0.5 < float(found) < 2.5
      elif column != 'a*':
        assert found == text, column

  old, new = (np.asarray(Image.open(path).convert('RGB'), np.float32)
              for path in (ROOT / 'docs' / 'area_growth.png', picture))  # fmt: skip
  assert old.shape == new.shape
  photograph = slice(old.shape[1] // 9)
  assert np.abs(old - new)[:, photograph].mean() < 2  # Grey levels.
  assert np.abs(old - new).mean() < 30


def test_the_printed_tables_of_the_documents_have_the_columns_of_now():
  heads = [
    re.split(' {2,}', block.text.splitlines()[0])
    for document in DOCUMENTS
    for block in blocks(document)
    if block.text.startswith('image  ')
  ]
  assert heads and all(head == list(TABLE) for head in heads)
