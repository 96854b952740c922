"""A small dataset in BRODEN's format, written by hand with what makes the format odd."""

import numpy as np
from PIL import Image

SIZE = (16, 20)  # sh, sw.
LABELS = """number,name,category,frequency,coverage,syns
1,person,object(3),3,.5,person;individual;someone
2,red-c,color(2),2,1.2,
300,wheel,part(2);object(1),2,.1,wheel
4,"chair, folding",object(1),1,,
7,striped,texture(2),2,,striped
9,beach-s,scene(1),1,,beach;shore
"""
# Categories in an order of their own; of one cell a number and a map; an empty line's end.
INDEX = """image,split,ih,iw,sh,sw,texture,part,object,color,scene
dtd/s_1.jpg,train,32,40,16,20,7,,,,
ade20k/a.b.jpg,train,32,40,16,20,,ade20k/a_part_1.png;ade20k/a_part_2.png,ade20k/a_object.png,,9
ade20k/c.jpg,val,32,40,16,20,7;ade20k/c_texture.png,,4;ade20k/c_object.png;1,ade20k/c_color.png,
"""


def picture(path, seed=0):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(np.random.RandomState(seed).randint(0, 255, (32, 40, 3), np.uint8)).save(path)


def label_map(path, *boxes, size=SIZE, blue=0):
  """Boxes (number, top, bottom, left, right) on a map of nothing, as red + 256 green."""
  numbers = np.zeros(size, int)
  for number, top, bottom, left, right in boxes:
    numbers[top:bottom, left:right] = number
  path.parent.mkdir(parents=True, exist_ok=True)
  pixels = np.stack([numbers % 256, numbers // 256, np.full(size, blue)], axis=-1)
  Image.fromarray(pixels.astype(np.uint8)).save(path)
  return numbers


def write(root):
  """Writes the dataset into a folder; returns its maps by name."""
  (root / 'images').mkdir(parents=True)
  (root / 'index.csv').write_text(INDEX)
  (root / 'label.csv').write_text(LABELS)
  for place, name in enumerate(('dtd/s_1.jpg', 'ade20k/a.b.jpg', 'ade20k/c.jpg')):
    picture(root / 'images' / name, place)
  maps = {
    'a_part_1': [(300, 0, 4, 0, 4)],
    'a_part_2': [(300, 2, 8, 2, 8)],
    'a_object': [(1, 0, 8, 0, 20), (300, 8, 12, 0, 5)],
    'c_texture': [(7, 0, 2, 0, 2)],
    'c_object': [(300, 4, 6, 4, 6)],
    'c_color': [(2, 0, 16, 0, 10)],
  }
  return {n: label_map(root / f'images/ade20k/{n}.png', *boxes) for n, boxes in maps.items()}
