"""Black and white by format and type, never by content."""

import io
import struct
import zlib

import numpy as np
from PIL import Image
import pytest

from perturb.data.images import open_picture
from perturb.data.pixels import Encoding, to_rgb
from perturb.errors import ImageError

RAMP = np.linspace(0, 1, 64 * 48).reshape(48, 64)
GREY = (RAMP * 255 + 0.5).astype(np.uint8)


def saved(image, kind, **options):
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


def seen(data):
  """The picture, uint8 `[H, W, 3]`."""
  image = open_picture(io.BytesIO(data), 'place')
  assert image.mode == 'RGB'
  return np.asarray(image)


def close(data, expected, within=1):
  found = seen(data).astype(int)
  if expected.ndim == 2:
    expected = expected[..., None]
  np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=within)


def tiff(values, photometric=1, sample_format=1, bits=None, order='<'):
  """A TIFF of one channel, whatever its values are."""
  values = values.astype(values.dtype.newbyteorder(order))
  bits = bits or 8 * values.itemsize
  height, width = values.shape
  tags = {
    256: (4, width), 257: (4, height), 258: (3, bits), 259: (3, 1), 262: (3, photometric),
    273: (4, 8), 277: (3, 1), 278: (4, height), 279: (4, values.nbytes), 339: (3, sample_format),
  }  # fmt: skip
  head = (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(f'{order}I', 8 + values.nbytes)
  entries = b''.join(
    struct.pack(f'{order}HHI' + ('I' if kind == 4 else 'Hxx'), tag, kind, 1, value)
    for tag, (kind, value) in tags.items()
  )
  return head + values.tobytes() + struct.pack(f'{order}H', len(tags)) + entries + bytes(4)


def png(rows, depth, colour, clear=b''):
  """A PNG of rows of packed pixels, with its tRNS chunk."""

  def chunk(kind, content):
    check = struct.pack('>I', zlib.crc32(kind + content))
    return struct.pack('>I', len(content)) + kind + content + check

  head = struct.pack('>IIBBBBB', rows[1], len(rows[0]), depth, colour, 0, 0, 0)
  pixels = zlib.compress(b''.join(b'\0' + row for row in rows[0]))
  return b'\x89PNG\r\n\x1a\n' + b''.join(
    chunk(kind, content)
    for kind, content in ((b'IHDR', head), (b'tRNS', clear), (b'IDAT', pixels), (b'IEND', b''))
    if content or kind == b'IEND'
  )


@pytest.mark.parametrize('kind', ['png', 'tiff', 'jpeg2000', 'ppm'])
@pytest.mark.parametrize('top', [255, 256, 65535])
def test_sixteen_bits_are_of_one_range_however_dark_the_picture(kind, top):
  values = (RAMP * top + 0.5).astype(np.uint16)
  close(saved(Image.fromarray(values), kind), RAMP * top / 65535 * 255)


@pytest.mark.parametrize('top', [200, 1000, 4095, 65535])
def test_a_pgm_states_its_white(top):
  dtype, expected = '>u2' if top > 255 else 'u1', np.rint(RAMP * top) / top * 255
  values = np.rint(RAMP * top).astype(dtype)
  close(b'P5 64 48 %d\n' % top + values.tobytes(), expected)
  text = ' '.join(map(str, values.ravel().tolist())).encode()
  close(b'P2 64 48 %d\n' % top + text, expected)
  colour = np.stack([values] * 3, -1).astype(dtype)
  close(b'P6 64 48 %d\n' % top + colour.tobytes(), expected)


def test_twelve_bits_of_a_tiff():
  values = (RAMP * 4095 + 0.5).astype(np.uint16)
  first, second = values.reshape(-1, 2).T
  packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1)
  data = tiff(packed.astype(np.uint8).reshape(48, 96), bits=12)
  close(
    data.replace(struct.pack('<HHII', 256, 4, 1, 96), struct.pack('<HHII', 256, 4, 1, 64)), GREY
  )


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('level', [1.0, 0.001])
def test_floats_are_from_zero_to_one(level, order):
  close(tiff((RAMP * level).astype('f4'), sample_format=3, order=order), RAMP * level * 255)
  pfm = (RAMP[::-1] * level).astype(f'{order}f4').tobytes()  # From the bottom up.
  close(b'Pf\n64 48\n%d\n' % (-1 if order == '<' else 1) + pfm, RAMP * level * 255)


@pytest.mark.parametrize(
  ('values', 'reason'),
  [
    (RAMP * 255, 'are 0 to 255, but of floats 0 is black and 1 is white; scale them, or save it'),
    (RAMP - 0.5, 'are -0.5 to 0.5'),
    (np.where(RAMP > 0.5, np.nan, RAMP), 'not finite'),
    (np.where(RAMP > 0.5, np.inf, RAMP), 'not finite'),
  ],
)
def test_other_floats_are_refused(values, reason):
  with pytest.raises(ImageError, match=f'place: .*{reason}'):
    seen(tiff(values.astype('f4'), sample_format=3))


def test_rounding_is_no_reason_to_refuse():
  close(tiff(((RAMP - 0.5) * 1.0001 + 0.5).astype('f4'), sample_format=3), RAMP * 255)


@pytest.mark.parametrize(
  ('dtype', 'sample_format', 'reason'),
  [
    ('i1', 2, 'signed integers'),
    ('i2', 2, 'signed integers'),
    ('i4', 2, 'signed integers'),
    ('u4', 1, '32-bit integers'),
  ],
)
def test_integers_without_a_known_white_are_refused(dtype, sample_format, reason):
  data = tiff((RAMP * 100).astype(dtype), sample_format=sample_format)
  with pytest.raises(ImageError, match=f'place: {reason} do not say .*save it with 8 or 16 bits'):
    seen(data)


def test_formats_of_science_are_refused_unless_they_have_eight_bits():
  for bits, dtype in ((8, 'u1'), (16, '>i2'), (32, '>i4')):
    cards = [
      'SIMPLE  = T',
      f'BITPIX  = {bits}',
      'NAXIS   = 2',
      'NAXIS1  = 64',
      'NAXIS2  = 48',
      'END',
    ]
    head = ''.join(card.ljust(80) for card in cards).ljust(2880).encode()
    data = head + (RAMP[::-1] * 100).astype(dtype).tobytes()
    if bits == 8:
      close(data, RAMP * 100)
    else:
      with pytest.raises(ImageError, match=f'place: {bits}-bit integers'):
        seen(data)


@pytest.mark.parametrize('dtype', ['u1', '<u2', '<f4'])
def test_a_tiff_whose_zero_is_white_is_inverted(dtype):
  top = {'u1': 255, '<u2': 65535, '<f4': 1}[dtype]
  rounding = 0 if dtype == '<f4' else 0.5
  values = (RAMP * top + rounding).astype(dtype)
  close(tiff(values, photometric=0, sample_format=3 if dtype == '<f4' else 1), 255 - RAMP * 255)


@pytest.mark.parametrize('channels', [1, 2, 3, 4])
def test_sixteen_bits_of_a_png_of_any_channels(channels):
  values = np.stack([RAMP * 65535 + 0.5] * channels, -1).astype('>u2')
  if channels in (2, 4):
    values[..., -1] = 65535
  rows = [row.tobytes() for row in values]
  close(png((rows, 64), 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels]), RAMP * 255)


def test_every_other_mode_is_seen_as_it_is():
  image = Image.fromarray(GREY)
  for mode, kind in (
    ('L', 'png'), ('P', 'png'), ('LA', 'png'), ('RGB', 'bmp'), ('RGBA', 'webp'), ('L', 'gif'),
    ('CMYK', 'tiff'), ('YCbCr', 'tiff'), ('RGBX', 'tiff'),
  ):  # fmt: skip
    options = {'lossless': True} if kind == 'webp' else {}
    converted = image.convert('RGB').convert(mode) if mode != 'P' else image.convert('P')
    close(saved(converted, kind, **options), GREY, 2)
  assert set(np.unique(seen(saved(image.convert('1'), 'png')))) == {0, 255}
  assert seen(saved(image.convert('1'), 'png')).mean() == pytest.approx(127, abs=4)


def test_lab_is_seen_in_its_colours():
  lightness = np.full((48, 64), 137, np.uint8)  # 53.7 of 100, that of the reds below.
  lab = np.stack([lightness, lightness * 0 + 80, lightness * 0 + 67], -1)
  found = seen(saved(Image.fromarray(lab, 'LAB'), 'tiff'))[0, 0].astype(int)
  np.testing.assert_allclose(found, [255, 0, 0], atol=12)


def test_modes_that_few_files_have():
  unknown = Encoding('', '', 0, False, False)
  image = Image.fromarray(GREY)
  for mode in ('PA', 'HSV', 'La', 'RGBa', '1'):
    path = {'PA': ('P', 'PA'), 'HSV': ('RGB', 'HSV'), 'La': ('LA', 'La'), 'RGBa': ('RGBA', 'RGBa')}
    changed = image
    for step in path.get(mode, (mode,)):
      changed = changed.convert(step)
    found = np.asarray(to_rgb(changed, unknown, 'place')).astype(int)
    expected = 255 * (np.asarray(changed) > 0) if mode == '1' else GREY
    np.testing.assert_allclose(found, np.repeat(expected[..., None], 3, -1), atol=2)


def test_a_jpeg_of_four_inks_is_not_inverted():
  ink = np.stack([255 - GREY] * 3 + [np.zeros_like(GREY)], -1)
  close(saved(Image.fromarray(ink, 'CMYK'), 'jpeg', quality=98), GREY, 4)


LEFT = np.arange(64) < 32


@pytest.mark.parametrize('kind', ['palette', 'palettes', 'grey', 'gif'])
def test_what_is_transparent_is_white(kind):
  """The left half is transparent, the right one dark."""
  opaque = np.broadcast_to(np.where(LEFT, 0, 255), (48, 64)).astype(np.uint8)
  index = np.broadcast_to(np.where(LEFT, 1, 0), (48, 64)).astype(np.uint8)
  palette = Image.fromarray(index)
  palette.putpalette([20, 20, 20, 70, 70, 70])
  data = {
    'palette': lambda: saved(palette, 'png', transparency=1),
    'palettes': lambda: saved(palette, 'png', transparency=bytes([255, 0])),
    'gif': lambda: saved(palette, 'gif', transparency=1),
    'grey': lambda: saved(Image.fromarray(np.stack([0 * opaque + 20, opaque], -1)), 'png'),
  }[kind]()
  close(data, np.broadcast_to(np.where(LEFT, 255, 20), (48, 64)), 0)


@pytest.mark.parametrize(
  ('depth', 'colour', 'left', 'right', 'dark'),
  [(1, 0, 1, 0, 0), (2, 0, 1, 2, 170), (4, 0, 3, 4, 68), (8, 0, 9, 20, 20), (16, 0, 300, 5140, 20),
   (8, 2, 9, 20, 20), (16, 2, 300, 5140, 20)],
)  # fmt: skip
def test_the_transparent_colour_of_a_png_is_of_its_own_bits(depth, colour, left, right, dark):
  channels = 3 if colour else 1
  values = np.repeat(np.where(LEFT, left, right), channels)
  if depth < 8:
    bits = values[:, None] >> np.arange(depth)[::-1] & 1
    row = np.packbits(bits.astype(np.uint8)).tobytes()
  else:
    row = values.astype('>u2' if depth == 16 else 'u1').tobytes()
  data = png(([row] * 48, 64), depth, colour, struct.pack('>H', left) * channels)
  close(data, np.broadcast_to(np.where(LEFT, 255, dark), (48, 64)), 0)


@pytest.mark.parametrize('kind', ['gif', 'webp', 'png', 'tiff', 'mpo'])
def test_of_several_frames_it_is_the_first(kind):
  first, other = Image.fromarray(GREY), Image.new('L', (64, 48), 255)
  options = {'lossless': True} if kind == 'webp' else {'quality': 98} if kind == 'mpo' else {}
  if kind == 'mpo':
    first, other = first.convert('RGB'), other.convert('RGB')
  close(saved(first, kind, save_all=True, append_images=[other], **options), GREY, 2)
