"""Where the results of a run over a dataset are in its workdir.

`results.zarr` has a group for each shape of image, `224x224`, and there an array for each field;
`timings.zarr` has the seconds, which are never the same twice, in the same places; `images.csv`
says which image is in which group and row.
"""

import pathlib

from perturb.zarr_store import Field, Group

RESULTS, TIMINGS = 'results.zarr', 'timings.zarr'

# Stored of each image, whatever is computed of it.
COMMON = {
  'status': Field('uint8'),  # 0: not yet, 1: done, 2: failed.
  'label': Field('int32'),  # Of the dataset; -1 where it has none.
  'digest': Field('uint32'),  # CRC-32 of the pixels that the network saw, before normalisation.
}
SECONDS = {'seconds': Field()}


def results_group(workdir: pathlib.Path, name: str) -> Group:
  """The results of the images of one shape."""
  return Group(workdir / RESULTS / name)


def timings_group(workdir: pathlib.Path, name: str) -> Group:
  """How long they took: `seconds` of each image, without compilation."""
  return Group(workdir / TIMINGS / name)
