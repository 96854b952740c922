"""Records the masks of COCO's own tools, for tests/data/test_coco_masks.py.

Run once, in an environment of its own:

  pip install numpy pycocotools==2.0.11
  python -m tests.record_coco
"""

import json
import pathlib

import numpy as np

FILE = pathlib.Path(__file__).parent / 'recorded' / 'coco_masks.json'


def polygons():
  """(polygon, width, height) of many kinds, some of them outside their picture."""
  random = np.random.RandomState(0)
  for i in range(30):
    width, height = random.randint(2, 40, 2)
    corners = random.uniform(0, 1, (random.randint(3, 10), 2))
    if i % 5 == 1:  # Convex, and touching the border.
      angles = np.sort(2 * np.pi * corners[:, 0])
      corners = 0.5 + 0.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    elif i % 5 == 2:
      corners = 1.6 * corners - 0.3
    corners *= (width, height)
    if i % 5 == 3:  # Whole pixels.
      corners = np.round(corners)
    elif i % 5 == 4:  # Closed: the last corner is the first again.
      corners = np.concatenate([corners, corners[:1]])
    yield np.round(corners, 2).ravel().tolist(), int(width), int(height)


def record():
  from pycocotools import mask

  cases = []
  for polygon, width, height in polygons():
    (runs,) = mask.frPyObjects([polygon], height, width)
    inside = mask.decode(runs)
    cases.append(
      {
        'polygon': polygon,
        'size': [width, height],
        'runs': runs['counts'].decode(),
        'rows': [''.join(map(str, row)) for row in inside.tolist()],
      }
    )
  FILE.write_text('[\n' + ',\n'.join(map(json.dumps, cases)) + '\n]\n')


if __name__ == '__main__':
  record()
