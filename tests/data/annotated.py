"""Pictures and annotations as their datasets store them."""

import numpy as np
from PIL import Image


def save_picture(path, size=(60, 40), seed=0, orientation=1):
  """A photograph of noise, of (width, height) as it is stored."""
  path.parent.mkdir(parents=True, exist_ok=True)
  values = np.random.RandomState(seed).randint(0, 256, (size[1], size[0], 3)).astype(np.uint8)
  exif = Image.Exif()
  exif[0x0112] = orientation
  Image.fromarray(values).save(path, exif=exif)


def save_xml(path, objects, size=(60, 40)):
  """An annotation in the form of VOC: objects are (name, xmin, ymin, xmax, ymax[, difficult])."""
  path.parent.mkdir(parents=True, exist_ok=True)
  parts = [
    f'<object><name>{name}</name><pose>Left</pose><truncated>0</truncated><difficult>{int(any(difficult))}</difficult>'
    f'<bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>'
    '</bndbox><part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax>'
    '<ymax>2</ymax></bndbox></part></object>'
    for name, left, top, right, bottom, *difficult in objects
  ]
  path.write_text(
    f'<annotation>\n<filename>{path.stem}.jpg</filename><size><width>{size[0]}</width>'
    f'<height>{size[1]}</height><depth>3</depth></size>{"".join(parts)}</annotation>\n'
  )


def filled(size, *boxes):
  """bool `[H, W]`: the pixels of boxes, by slices."""
  mask = np.zeros(size[::-1], bool)
  for left, top, right, bottom in boxes:
    mask[top:bottom, left:right] = True
  return mask


def names_of(dataset):
  return [source.name for source in dataset.sources]
