import io

import numpy as np
from PIL import Image
import pytest

from perturb.data.images import ImageError, find_images, fit_picture, load_image, open_picture

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


def test_accepts_every_mode(tmp_path):
  grey = (RAMP * 255).astype(np.uint8)
  expected = load_image(write(tmp_path / 'grey.png', grey), size=32).astype(int)
  sixteen = load_image(write(tmp_path / '16.png', (RAMP * 65535).astype(np.uint16)), size=32)
  assert np.abs(sixteen - expected).max() <= 1
  rgba = np.stack([grey, grey, grey, np.full_like(grey, 255)], -1)
  np.testing.assert_array_equal(load_image(write(tmp_path / 'rgba.png', rgba), size=32), expected)
  clear = rgba.copy()
  clear[..., 3] = 0
  assert (load_image(write(tmp_path / 'clear.png', clear), size=32) == 255).all()
  for mode in ('P', 'LA', 'CMYK', '1'):
    suffix = 'tif' if mode == 'CMYK' else 'png'
    Image.fromarray(grey).convert(mode).save(tmp_path / f'{mode}.{suffix}')
    assert load_image(str(tmp_path / f'{mode}.{suffix}'), size=32).shape == (32, 32, 3)


def test_turns_a_photograph_upright(tmp_path):
  image = Image.fromarray((RAMP * 255).astype(np.uint8))
  exif = Image.Exif()
  exif[0x0112] = 3  # upside down
  image.save(tmp_path / 'x.png', exif=exif)
  upright = load_image(str(tmp_path / 'x.png'), size=32)
  assert upright[0].mean() > upright[-1].mean()


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


@pytest.mark.parametrize('multiple', [1, 16])
def test_the_larger_picture_of_a_figure_shows_the_same_part(multiple):
  """Or masks would lie beside what they mark; rounding must not differ between the two."""
  for width in (400, 401, 428, 500, 535, 562):  # Twice the size, 401 would round the other way.
    ramp = np.broadcast_to(np.linspace(0, 255, width)[None, :, None], (375, width, 3))
    picture = Image.fromarray(ramp.astype(np.uint8))
    small, large = (
      fit_picture(picture, size=224, fit='aspect', multiple=multiple, scale=scale)
      for scale in (1, 2)
    )
    assert large.shape[:2] == (448, 2 * small.shape[1])
    halved = large[0, :, 0].astype(float).reshape(-1, 2).mean(1)
    np.testing.assert_allclose(halved, small[0, :, 0], atol=2)
