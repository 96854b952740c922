import io
import struct
import zlib

import numpy as np
from PIL import Image, PngImagePlugin
import pytest

from perturb.data.images import find_images, load_image, open_picture, picture_size
from perturb.errors import ImageError

RAMP = np.linspace(0, 1, 64 * 48).reshape(48, 64)


def write(path, array, mode=None, **options):
  Image.fromarray(array, mode).save(path, **options)
  return str(path)


def test_finds_bundled_names_files_folders_and_globs(tmp_path):
  for name in ('b.png', 'a.jpg'):
    write(tmp_path / name, (RAMP * 255).astype(np.uint8))
  sources, problems = find_images(f'chelsea, {tmp_path}/*.png, {tmp_path}, {tmp_path}/a.jpg')
  assert [source.name for source in sources] == ['chelsea', 'b', 'a', 'b_2', 'a_2']
  assert not problems


def test_what_is_not_found_is_named(tmp_path):
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'empty' / 'notes.txt').write_text('no picture, and no failure')
  (tmp_path / 'empty' / '.hidden.png').write_bytes(b'')
  sources, problems = find_images(f'chelsae, {tmp_path}/*.png, {tmp_path}/empty, coffee')
  assert [source.name for source in sources] == ['coffee']
  assert "'chelsae' does not exist; did you mean 'chelsea'?" in problems[0]
  assert '*.png' in problems[1] and 'matches no file' in problems[1]
  assert 'holds no picture' in problems[2]


@pytest.mark.parametrize(
  ('fit', 'shape'), [('crop', (32, 32, 3)), ('aspect', (32, 43, 3)), ('squash', (32, 32, 3))]
)
def test_fits_the_networks_size(tmp_path, fit, shape):
  path = write(tmp_path / 'x.png', (RAMP * 255).astype(np.uint8))
  image = load_image(path, size=32, fit=fit)
  assert image.shape == shape
  assert image.dtype == np.uint8


CORNERS = np.zeros((24, 40), np.uint8)  # A bright corner, and another one half as bright.
CORNERS[:8, :8], CORNERS[:8, -8:] = 250, 125
TURNED = {
  1: CORNERS,
  2: CORNERS[:, ::-1],
  3: CORNERS[::-1, ::-1],
  4: CORNERS[::-1],
  5: CORNERS.T,
  6: CORNERS.T[:, ::-1],
  7: CORNERS.T[::-1, ::-1],
  8: CORNERS.T[::-1],
}
MEANINGLESS = (0, 9, 65535)


def check_upright(data, expected):
  """The picture is as it is to be seen, and has the size that was announced."""
  announced = picture_size(io.BytesIO(data), 'place')
  picture = open_picture(io.BytesIO(data), 'place')
  assert announced == picture.size == expected.shape[::-1]
  np.testing.assert_allclose(np.asarray(picture.convert('L')), expected, atol=6)


KINDS = [
  (kind, orientation)
  for kind in ('jpeg', 'tiff', 'png', 'webp', 'mpo', 'avif')
  for orientation in (*TURNED, *MEANINGLESS)
  if kind != 'avif' or orientation in TURNED  # Its writer refuses others.
]


@pytest.mark.parametrize(('kind', 'orientation'), KINDS)
def test_turns_a_photograph_upright(kind, orientation):
  file, exif = io.BytesIO(), Image.Exif()
  exif[0x0112] = orientation
  many = {'save_all': True} if kind == 'mpo' else {}
  Image.fromarray(CORNERS).convert('RGB').save(file, kind, exif=exif, quality=95, **many)
  check_upright(file.getvalue(), TURNED.get(orientation, CORNERS))


@pytest.mark.parametrize('compression', ['raw', 'tiff_lzw', 'jpeg', 'packbits'])
def test_turns_every_tiff_upright(compression):
  for orientation, expected in TURNED.items():
    file = io.BytesIO()
    pages = {'save_all': True, 'append_images': [Image.new('L', (16, 16))]}
    image = Image.fromarray(CORNERS)
    image.save(file, 'tiff', compression=compression, tiffinfo={274: orientation}, **pages)
    check_upright(file.getvalue(), expected)


@pytest.mark.parametrize('kind', ['jpeg', 'tiff', 'png', 'webp'])
def test_an_orientation_may_be_in_xmp(kind):
  for orientation, expected in TURNED.items():
    file, text = io.BytesIO(), f'<x:xmpmeta tiff:Orientation="{orientation}"/>'
    options = {'quality': 95, 'xmp': text.encode()}
    if kind == 'png':
      info = PngImagePlugin.PngInfo()
      info.add_itxt('XML:com.adobe.xmp', text)
      options = {'pnginfo': info}
    if kind == 'tiff':
      options = {'tiffinfo': {700: text.encode()}}
    Image.fromarray(CORNERS).save(file, kind, **options)
    check_upright(file.getvalue(), expected)


@pytest.mark.parametrize('kind', ['jpeg', 'tiff', 'png', 'webp'])
@pytest.mark.parametrize(
  ('type_code', 'count', 'expected'),
  [(2, 1, CORNERS), (7, 1, CORNERS), (3, 2, TURNED[6]), (4, 1, None), (200, 1, CORNERS)],
  ids=['text', 'bytes', 'two numbers', 'a longer number', 'no type'],
)
def test_an_orientation_of_another_type(kind, type_code, count, expected):
  """What is no number has no meaning; the size is that of the picture in any case."""
  order = '<' if kind == 'tiff' else '>'
  short = struct.pack(f'{order}HHIH', 0x0112, 3, 1, 6)
  file, exif = io.BytesIO(), Image.Exif()
  exif[0x0112] = 6
  Image.fromarray(CORNERS).save(file, kind, exif=exif, quality=95)
  data = file.getvalue()
  assert data.count(short) == 1
  changed = data.replace(short, struct.pack(f'{order}HHIH', 0x0112, type_code, count, 6))
  if kind == 'png':
    start = data.index(b'eXIf')
    end = start + 4 + int.from_bytes(data[start - 4 : start], 'big')
    checksum = zlib.crc32(changed[start:end]).to_bytes(4, 'big')
    changed = changed[:end] + checksum + changed[end + 4 :]
  if expected is not None:
    check_upright(changed, expected)
  announced = picture_size(io.BytesIO(changed), 'place')
  assert announced == open_picture(io.BytesIO(changed), 'place').size


@pytest.mark.parametrize('kind', ['jpeg', 'png', 'webp'])
@pytest.mark.parametrize(
  'damage', [b'', b'MM', b'nothing', b'MM\0*\xff\xff\xff\xff', b'MM\0*\0\0\0\x08\0\x01']
)
def test_damaged_exif_is_no_damage_of_the_picture(kind, damage):
  file = io.BytesIO()
  Image.fromarray(CORNERS).convert('RGB').save(file, kind, exif=b'Exif\0\0' + damage, quality=95)
  check_upright(file.getvalue(), CORNERS)


def test_the_size_is_that_of_the_pixels_where_the_first_bytes_say_another(tmp_path):
  """An icon's directory states a size of its own."""
  path = tmp_path / 'x.ico'
  Image.fromarray(CORNERS).save(path, sizes=[(40, 24)])
  data = bytearray(path.read_bytes())
  data[6:8] = bytes([64, 64])
  path.write_bytes(data)
  assert picture_size(str(path), 'x') == open_picture(str(path), 'x').size == (40, 24)


def test_bad_files_are_named(tmp_path):
  photo = np.random.RandomState(0).randint(0, 255, (64, 64, 3)).astype(np.uint8)
  whole = tmp_path / 'whole.jpg'
  write(whole, photo)
  files = {
    'empty.png': (b'', 'is empty'),
    'text.png': (b'hello', 'not an image'),
    'cut.jpg': (whole.read_bytes()[:2500], 'truncated'),
    'cut.png': (b'\x89PNG\r\n\x1a\n\0\0', ''),
  }
  for name, (content, message) in files.items():
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=f'{name}: .*{message}'):
      load_image(str(tmp_path / name), size=32)
  with pytest.raises(ImageError, match='none.png: no such file'):
    load_image(str(tmp_path / 'none.png'), size=32)
  with pytest.raises(ImageError, match=r'dot\.png: 1 x 1 pixels is too small'):
    load_image(write(tmp_path / 'dot.png', photo[:1, :1]), size=32)
  huge = tmp_path / 'huge.png'
  Image.new('1', (10000, 10000)).save(huge)
  with pytest.raises(ImageError, match=r'huge\.png: 10000 x 10000 pixels is over the limit'):
    load_image(str(huge), size=32)


@pytest.mark.parametrize('kind', ['png', 'jpeg', 'gif', 'bmp', 'tiff', 'webp', 'ppm'])
def test_damage_of_any_kind_is_an_image_error(kind):
  """Bytes changed and cut at random: a picture or an `ImageError`, and nothing else."""
  file = io.BytesIO()
  random = np.random.RandomState(0)
  Image.fromarray(random.randint(0, 256, (24, 32, 3)).astype(np.uint8)).save(file, kind)
  refused = 0
  for _ in range(60):
    data = np.frombuffer(file.getvalue(), np.uint8).copy()
    data[random.randint(0, len(data), 1 + random.randint(8))] = random.randint(256)
    data = data[: random.choice([len(data), random.randint(len(data))])]
    try:
      open_picture(io.BytesIO(data.tobytes()), 'place')
    except ImageError as error:
      refused += str(error).startswith('place: ')
  assert refused > 5


def test_memory_that_is_not_there_is_one_picture_s_failure(tmp_path, monkeypatch):
  path = write(tmp_path / 'x.png', (RAMP * 255).astype(np.uint8))
  for module, name in ((Image.Image, 'convert'), (Image.Image, 'resize')):

    def full(*_, **__):
      raise MemoryError

    with monkeypatch.context() as change:
      change.setattr(module, name, full)
      with pytest.raises(ImageError, match=r'x\.png: there is not enough memory to'):
        load_image(path, size=32)
