"""COCO's JSON and pictures, and what of them is wrong."""

import json

import numpy as np
import pytest

from perturb.data.datasets import open_dataset
from perturb.errors import ImageError, UserError
from tests.data.annotated import filled, names_of, save_picture

SIZE = (60, 40)
STRING = 'Z12V10VW2'
CATEGORIES = [
  {'id': 90, 'name': 'toothbrush'},
  {'id': 1, 'name': 'person'},
  {'id': 18, 'name': 'dog'},
]


def corners(left, top, right, bottom):
  return [left, top, right, top, right, bottom, left, bottom]


def instance(key, picture, category, box, **fields):
  """An annotation whose outline is that of a box of whole pixels."""
  left, top, right, bottom = box
  entry = {
    'id': key,
    'image_id': picture,
    'category_id': category,
    'bbox': [left, top, right - left, bottom - top],
    'area': (right - left) * (bottom - top),
    'segmentation': [corners(*box)],
    'iscrowd': 0,
  }
  return entry | fields


def runs(*boxes):
  """Plain runs of the union of boxes, down the columns."""
  flat = filled(SIZE, *boxes).T.ravel()
  ends = [*np.flatnonzero(np.diff(flat)) + 1, len(flat)]
  lengths = np.diff([0, *ends]).tolist()
  return {'counts': [0] * bool(flat[0]) + lengths, 'size': [40, 60]}


def image(key, name=None):
  return {'id': key, 'file_name': name or f'COCO_val2014_{key:012d}.jpg', 'width': 60, 'height': 40}


@pytest.fixture
def root(tmp_path):
  for key in (9, 42, 7):
    save_picture(tmp_path / 'val2014' / f'COCO_val2014_{key:012d}.jpg', seed=key)
  return tmp_path


def write(root, annotations, images=None):
  path = root / 'annotations' / 'instances_val2014.json'
  path.parent.mkdir(exist_ok=True)
  images = images or [image(42), image(9), image(7)]
  data = {'images': images, 'annotations': annotations, 'categories': CATEGORIES}
  path.write_text(json.dumps(data))
  return path


def test_pairs_of_a_picture_and_a_category(root):
  """Keys of categories have gaps; pictures and categories are in the order of their keys."""
  path = write(
    root,
    [
      instance(1, 42, 18, (10, 5, 20, 15)),
      instance(2, 42, 90, (0, 0, 60, 30)),
      instance(3, 9, 1, (3, 3, 9, 9)),
      instance(
        4, 42, 18, (30, 20, 50, 30), segmentation=[corners(30, 20, 40, 30), corners(45, 20, 50, 30)]
      ),
    ],
  )
  dataset = open_dataset(f'coco:{path}')
  assert names_of(dataset) == [
    'COCO_val2014_000000000009_person',
    'COCO_val2014_000000000042_dog',
    'COCO_val2014_000000000042_toothbrush',
  ]
  assert dataset.class_names == ('person', 'dog', 'toothbrush') and not dataset.problems
  assert [dataset.record(i).label for i in range(3)] == [0, 1, 2]
  dog = dataset.region(1)
  assert dog.size == SIZE and dog.boxes.tolist() == [[10, 5, 20, 15], [30, 20, 50, 30]]
  expected = filled(SIZE, (10, 5, 20, 15), (30, 20, 40, 30), (45, 20, 50, 30))
  np.testing.assert_array_equal(dog.mask(), expected)
  assert [dataset.region(i).difficult for i in range(3)] == [False, True, False]
  assert names_of(open_dataset(f'coco:{path}', '[1:2]')) == names_of(dataset)[1:2]


def test_crowds_count_as_runs_do(root):
  """The string is that of COCO's tools for rows 2 to 3 of columns 1 to 2 of 60 x 40 pixels."""
  one, two = (10, 5, 20, 15), (15, 10, 40, 20)
  path = write(
    root,
    [
      instance(1, 42, 1, one),
      instance(2, 42, 1, two, iscrowd=1, segmentation=runs(two, (50, 0, 60, 40))),
      instance(3, 9, 1, (1, 2, 3, 4), segmentation={'counts': STRING, 'size': [40, 60]}),
    ],
  )
  dataset = open_dataset(f'coco:{path}')
  np.testing.assert_array_equal(dataset.region(0).mask(), filled(SIZE, (1, 2, 3, 4)))
  np.testing.assert_array_equal(dataset.region(1).mask(), filled(SIZE, one, two, (50, 0, 60, 40)))


def test_the_area_is_that_of_the_category(root):
  """Two dogs of a fifth of the picture are two fifths; what is said counts, else the masks do."""
  box, half = (0, 0, 24, 20), (0, 0, 40, 30)
  triangle = [[0, 0, 40, 0, 0, 20]]  # A third of its box.
  for dogs, difficult in (
    ([{}], True),
    ([{}, {}], False),
    ([{'area': 599}], True),
    ([{'area': 600}], False),
    ([{'area': None, 'bbox': [0, 0, 40, 20], 'segmentation': triangle}], True),
    ([{'area': None, 'bbox': [0, 0, 40, 20], 'segmentation': None}], False),
  ):
    path = write(
      root,
      [instance(i, 42, 18, box, **fields) for i, fields in enumerate(dogs)]
      + [instance(9, 42, 1, half)],  # Another's area does not count.
    )
    assert open_dataset(f'coco:{path}').region(1).difficult == difficult, dogs


def test_where_the_pictures_are(root, tmp_path_factory):
  path = write(root, [instance(1, 42, 18, (10, 5, 20, 15))])
  elsewhere = tmp_path_factory.mktemp('elsewhere')
  (root / 'val2014').rename(elsewhere / 'pictures')
  with pytest.raises(UserError, match=r"give that of the pictures: 'coco:.*json:FOLDER'"):
    open_dataset(f'coco:{path}')
  dataset = open_dataset(f'coco:{path}:{elsewhere / "pictures"}')
  assert dataset.picture(0)[0].size == SIZE
  (root / 'images').mkdir()
  (elsewhere / 'pictures').rename(root / 'images' / 'val2014')
  assert open_dataset(f'coco:{path}').picture(0)[0].size == SIZE
  with pytest.raises(UserError, match='does not exist'):
    open_dataset(f'coco:{root / "none.json"}')


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'image_id': 5}, 'annotation 2: there is no image 5'),
    ({'category_id': 2}, 'annotation 2: there is no category 2'),
    ({'bbox': [60, 1, 5, 5]}, 'annotation 2: its bbox is empty or outside'),
    ({'bbox': [5, 5, 0, 5]}, 'annotation 2: its bbox is empty or outside'),
    ({'bbox': [1, 2, 3]}, 'annotation 2: its bbox is not left, top, width, height'),
    ({'bbox': [1, 2, 3, float('nan')]}, 'annotation 2: its bbox has a value that is no finite'),
    ({'segmentation': [[1, 2, 3, 4]]}, 'annotation 2: its segmentation has a polygon'),
    ({'segmentation': [[1, 2, 3, 4, 5, 6, 7]]}, 'annotation 2: its segmentation has a polygon'),
    ({'segmentation': [[1, 2, 3, 4, 5, 1e9]]}, 'annotation 2: its segmentation has a corner'),
    (
      {'segmentation': [[1, 2, 3, 4, 5, float('nan')]]},
      'annotation 2: its segmentation has a corner',
    ),
    ({'segmentation': [['a'] * 6]}, 'annotation 2: could not convert'),
    ({'segmentation': 7}, 'annotation 2: '),
    ({'segmentation': {'counts': None}}, 'annotation 2: '),
    ({'segmentation': {'counts': [[1], 2]}}, 'annotation 2: '),
  ],
)
def test_an_annotation_that_is_wrong_costs_itself(root, fields, message):
  path = write(
    root, [instance(1, 42, 18, (10, 5, 20, 15)), instance(2, 42, 18, (0, 0, 5, 5)) | fields]
  )
  dataset = open_dataset(f'coco:{path}')
  (problem,) = dataset.problems
  assert problem.startswith(f'{path}: {message}') and '\n' not in problem
  assert dataset.region(0).boxes.tolist() == [[10, 5, 20, 15]]


@pytest.mark.parametrize(
  ('counts', 'size'),
  [
    ('0', [40, 60]),
    ([5, 5], [40, 60]),
    ([2401, -1], [40, 60]),
    ('é', [40, 60]),
    ('P', [40, 60]),
    ([2400], [60, 40]),
    ([2400], None),
  ],
)
def test_runs_of_another_picture_are_said_when_drawn(root, counts, size):
  segmentation = {'counts': counts, 'size': size}
  path = write(root, [instance(3, 42, 18, (0, 0, 5, 5), segmentation=segmentation)])
  region = open_dataset(f'coco:{path}').region(0)
  with pytest.raises(ImageError, match=rf'^{path}: annotation 3: its '):
    region.mask()


def test_pictures_that_are_missing_or_of_another_size(root):
  path = write(
    root,
    [instance(key, key, 18, (1, 1, 5, 5)) for key in (42, 9, 8)],
    images=[image(42) | {'width': 61}, image(9), image(8)],
  )
  dataset = open_dataset(f'coco:{path}')
  missing = root / 'val2014' / 'COCO_val2014_000000000008.jpg'
  assert dataset.problems == (f'{missing}: no such file, but {path} names it',)
  assert len(dataset.sources) == 2
  with pytest.raises(ImageError, match='has 60 x 40 .* says 61 x 40'):
    dataset.region(1)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('{"images": [', 'cannot be read as JSON'),
    ('[' * 100_000, 'cannot be read as JSON'),
    (b'\xff\xfe', 'cannot be read as JSON'),
    ('[]', 'has no lists images, annotations, categories'),
    ('{"images": [], "annotations": {}, "categories": []}', 'has no lists'),
    ('{"images": [], "annotations": [{"image_id": 1, "caption": "x"}], "categories": []}',
     'annotations that are no instances'),
    ('{"images": [{"id": 1}], "annotations": [], "categories": []}', 'an image without id'),
    ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', 'a category without id'),
    ('{"images": [], "annotations": [], "categories": [{"id":1,"name":"a"}, {"id":2,"name":"a"}]}',
     'two categories of the same id or name'),
    ('{"images": [], "annotations": [], "categories": []}', 'has no annotated picture'),
  ],
)  # fmt: skip
def test_a_file_of_something_else(root, text, message):
  path = write(root, [])
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  with pytest.raises(UserError, match=message) as caught:
    open_dataset(f'coco:{path}')
  assert '\n' not in str(caught.value) and str(path) in str(caught.value)
