"""Generated scenes: the same bytes in any order, labels where things are, and their dataset."""

import csv
import types

import numpy as np
from PIL import Image
import pytest

from concepts.broden import open_broden
from concepts.drawing.backdrops import PLACES, SURFACES
from concepts.drawing.colours import COLOURS, draw_colour, name_colours
from concepts.drawing.objects import DETAIL, OBJECTS, PART, TEXTURE, draw_object
from concepts.drawing.textures import PATTERNS, TEXTURES, draw_texture
from concepts.figures.scenes import label_sheet
from concepts.scenes import compose_scene
from concepts.splits import hash_fraction, is_trained
from concepts.tasks import scenes
from configs.scenes import get_config
from perturb.data.composites import Cutout
from perturb.errors import UserError

SIZE = 96


@pytest.fixture(scope='module')
def composed():
  return [compose_scene(0, i, SIZE) for i in range(40)]


def named(scene, category):
  """The names of a map, where nothing is ''; `[M, S / 2, S / 2]`."""
  return np.array(['', *scene.names])[scene.maps[category]]


def random(seed=0):
  return np.random.Generator(np.random.PCG64(seed))


def test_the_same_bytes_in_any_order(composed):
  for index in (17, 0, 5):
    again = compose_scene(0, index, SIZE)
    assert again.picture.tobytes() == composed[index].picture.tobytes()
    assert again.maps.keys() == composed[index].maps.keys()
    for category, maps in again.maps.items():
      np.testing.assert_array_equal(maps, composed[index].maps[category])
  assert len({one.picture.tobytes() for one in composed}) == len(composed)
  assert compose_scene(1, 0, SIZE).picture.tobytes() != composed[0].picture.tobytes()


def test_a_picture_is_a_place_or_a_texture(composed):
  for one in composed:
    (category, names), *more = one.whole.items()
    assert not more and len(names) == 1
    known = {'scene': [f'{place}-s' for place in PLACES], 'texture': TEXTURES}[category]
    assert names[0] in known
    assert (category == 'texture') == ('object' not in one.maps)
    assert all(maps.shape[1:] == (SIZE // 2, SIZE // 2) for maps in one.maps.values())
  assert {next(iter(one.whole)) for one in composed} == {'scene', 'texture'}


def test_parts_are_on_their_objects(composed):
  owners = {'wheel': {'car'}, 'rim': {'car', 'wheel'}, 'roof': {'house'}, 'pupil': {'face'}}
  owners |= {'petal': {'flower'}, 'crown': {'tree'}, 'window': {'car', 'house'}}
  checked = set()
  for one in composed:
    for layer in named(one, 'part') if 'part' in one.maps else ():
      for part, objects in owners.items():
        there = set(named(one, 'object')[0][layer == part].tolist())
        assert there <= objects
        checked |= {part} if there else set()
  assert checked == set(owners)


def test_a_part_of_a_part_is_on_it():
  for name, detail, part in (('face', 'pupil', 'eye'), ('house', 'pane', 'window')):
    drawn = draw_object(random(), name)
    names = np.array(['', *drawn.names])[drawn.labels]
    assert set(names[..., PART][names[..., DETAIL] == detail].tolist()) == {part}


@pytest.mark.parametrize('name', OBJECTS)
def test_labels_of_an_object_are_where_it_is(name):
  for seed in range(4):
    drawn = draw_object(random(seed), name)
    assert drawn.name == name
    solid = drawn.pixels[..., 3] >= 128
    assert 0.1 < solid.mean() < 0.95
    assert np.mean(drawn.labels.any(-1) & ~solid) < 0.01
    assert drawn.labels.max(initial=0) <= len(drawn.names)
    assert (drawn.labels[..., TEXTURE] > 0).any() == bool({*drawn.names} & {*PATTERNS})


def test_surfaces_hide_behind_objects(composed):
  """What is no surface is an object, with the surface's texture taken away."""
  seen = 0
  for one in composed:
    if {'object', 'texture'} <= one.maps.keys():
      objects, textures = named(one, 'object')[0], named(one, 'texture')[0]
      assert set(textures[objects == 'grass'].tolist()) <= {'grass'}
      inside = ~np.isin(objects, ['', *SURFACES])
      assert not {*textures[inside].tolist()} & {'grass', 'gravel', 'brick'}
      seen += inside.sum()
  assert seen > 0


@pytest.mark.parametrize('name', PATTERNS)
def test_a_pattern_has_two_colours(name):
  pixels = draw_texture(random(3), name, 64)
  assert pixels.shape == (64, 64, 3)
  _, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
  two = np.sort(counts)[-2:] / 64**2
  assert two.sum() > 0.5 and two[0] > 0.08  # The others are between them, at edges.


def test_colours_are_named_as_they_are_drawn():
  for name in COLOURS:
    picture = np.array([draw_colour(random(i), (name,)) for i in range(20)]).reshape(4, 5, 3)
    found = name_colours(picture.astype(np.uint8))
    assert np.mean(found == 1 + list(COLOURS).index(name)) > 0.9, name


def test_a_few_pixels_of_a_colour_have_no_name():
  picture = np.full((40, 40, 3), COLOURS['red'][0], np.uint8)
  picture[0, :4] = COLOURS['green'][0]
  found = name_colours(picture)
  assert set(found[0, :4]) == {0}
  assert set(found[1:].ravel()) == {1 + list(COLOURS).index('red')}


def test_cut_outs_are_objects_of_their_name():
  pixels = np.zeros((40, 30, 4), np.uint8)
  pixels[:] = (255, 0, 255, 255)
  found = [compose_scene(0, i, SIZE, [Cutout('m', 'magenta', pixels)]) for i in range(12)]
  areas = 0
  for one in (one for one in found if 'object' in one.maps):
    there = named(one, 'object')[0] == 'magenta'
    shown = one.picture[1::2, 1::2][there]
    assert there.sum() == 0 or np.mean(np.all(shown == (255, 0, 255), axis=-1)) > 0.8
    areas += there.sum()
  assert areas > 0


PICTURES = 16


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  folder = tmp_path_factory.mktemp('scenes')
  config = get_config()
  config.update(pictures=PICTURES, size=SIZE)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(scenes, 'SHOWN', 2)
    assert scenes.run(config, str(folder)) == 0
  return folder


def table(path):
  with open(path, newline='', encoding='utf-8') as file:
    return [types.SimpleNamespace(**row) for row in csv.DictReader(file)]


def test_the_dataset_reads_as_it_was_composed(written, composed):
  probe = open_broden(str(written / 'broden'))
  assert probe.size == (SIZE // 2, SIZE // 2)
  names = {one.number: one.name for one in probe.concepts}
  for i, source in enumerate(probe.pictures.sources):
    one, labels = composed[int(source.name.removeprefix('scenes_'))], probe.labels(i)
    assert labels.maps.keys() == one.maps.keys()
    for category, maps in labels.maps.items():
      read = np.vectorize({0: '', **names}.get, otypes=['U20'])(maps)
      np.testing.assert_array_equal(read, named(one, category))
    whole = {category: tuple(names[n] for n in some) for category, some in labels.whole.items()}
    assert whole == one.whole
    shown = np.asarray(probe.pictures.picture(i)[0], int)
    assert np.mean(np.abs(shown - one.picture)) < 4  # JPEG.


def test_the_split_is_a_hash_that_rows_are_sorted_by(written):
  rows = table(written / 'broden/index.csv')
  fractions = [hash_fraction(row.image) for row in rows]
  assert len(rows) == PICTURES and fractions == sorted(fractions)
  assert [row.split == 'train' for row in rows] == [is_trained(row.image) for row in rows]
  assert {row.split for row in rows} == {'train', 'val'}


def test_the_tables_count_what_is_in_the_maps(written):
  root = written / 'broden'
  probe = open_broden(str(root))
  count, coverage = np.zeros(len(probe.concepts)), np.zeros(len(probe.concepts))
  per_category = {}
  for i in range(PICTURES):
    indices, masks = probe.masks(i)
    count[indices] += 1
    coverage[indices] += masks.mean((1, 2))
    labels = probe.labels(i)
    for category in labels.categories():
      maps = labels.maps.get(category, np.zeros((0, 1, 1)))
      for number in {*np.unique(maps).astype(int), *labels.whole.get(category, ())} - {0}:
        per_category[category, number] = per_category.get((category, number), 0) + 1
  rows = table(root / 'label.csv')
  assert [int(row.number) for row in rows] == [*range(1, len(rows) + 1)]
  assert [int(row.frequency) for row in rows] == count.tolist() == sorted(count, reverse=True)
  for row, covered in zip(rows, coverage, strict=True):
    listed = dict(one.rstrip(')').split('(') for one in row.category.split(';'))
    counted = {c: n for (c, number), n in per_category.items() if number == int(row.number)}
    assert {category: int(n) for category, n in listed.items()} == counted
    if len(listed) == 1:
      assert float(row.coverage) == pytest.approx(covered, abs=1e-5)


def test_the_codes_of_a_category_are_dense_and_in_the_order_of_the_labels(written):
  root = written / 'broden'
  names = {int(row.number): row.name for row in table(root / 'label.csv')}
  categories = table(root / 'category.csv')
  header = (root / 'index.csv').read_text().splitlines()[0].split(',')[6:]
  assert [row.name for row in categories] == header
  assert [int(row.first) for row in categories] == sorted(int(row.first) for row in categories)
  for category in categories:
    rows = table(root / f'c_{category.name}.csv')
    numbers = [int(row.number) for row in rows]
    assert [int(row.code) for row in rows] == [*range(1, int(category.count) + 1)]
    assert numbers == sorted(numbers)
    assert (numbers[0], numbers[-1]) == (int(category.first), int(category.last))
    assert [row.name for row in rows] == [names[number] for number in numbers]


def test_the_same_config_gives_the_same_bytes(written, tmp_path):
  scenes.write_scenes(tmp_path, PICTURES, SIZE, seed=0)
  files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob('*') if path.is_file())
  assert len(files) > 3 * PICTURES
  for file in files:
    assert (tmp_path / file).read_bytes() == (written / 'broden' / file).read_bytes(), file


def test_the_sheet_shows_each_label_in_its_colour(written):
  probe = open_broden(str(written / 'broden'))
  figure = label_sheet(probe, 2)
  panels = figure.axes
  assert [axes.get_title() for axes in panels[1:5]] == ['object', 'part', 'texture', 'color']
  labels = probe.labels(1).maps['color'][0]
  shown = panels[9].images[0].get_array()
  for one in (one for one in probe.concepts if one.name.endswith('-c')):
    own = np.array(COLOURS[one.name.removesuffix('-c')][0]) / 255
    np.testing.assert_array_equal(np.all(np.isclose(shown, own), axis=-1), labels == one.number)
  with Image.open(written / 'labels.png') as sheet:
    assert sheet.width > 1000


@pytest.mark.parametrize(
  ('field', 'value', 'message'),
  [
    ('pictures', 0, 'config.pictures must be at least 1, not 0'),
    ('size', 95, 'config.size must be even, not 95'),
    ('size', 32, 'config.size must be at least 64, not 32'),
    ('stamps', '/no/such', "config.stamps: the folder '/no/such' does not exist"),
  ],
)
def test_wrong_values_are_refused(tmp_path, field, value, message):
  config = get_config()
  config[field] = value
  with pytest.raises(UserError, match=message):
    scenes.run(config, str(tmp_path / 'no'))
  assert not (tmp_path / 'no').exists()
