"""Probe datasets by the names that a config gives them."""

from collections.abc import Callable

from concepts.broden import open_broden
from concepts.label_folders import open_label_folders
from concepts.probe import Probe
from perturb.errors import UserError, did_you_mean

KINDS: dict[str, Callable[[str], Probe]] = {'broden': open_broden, 'labels': open_label_folders}


def open_probe(name: str) -> Probe:
  """The probe dataset that a config names as its `dataset`.

  Args:
    name: one of
      - `broden:FOLDER`, the format of BRODEN (`concepts.broden`), which `configs/scenes.py` makes
        too;
      - `labels:FOLDER`, pictures with a label map each (`concepts.label_folders`).

  Raises:
    UserError: names config.dataset, or the file that does not fit.
  """
  kind, _, folder = name.partition(':')
  if kind not in KINDS or not folder:
    raise UserError(
      f'config.dataset must be {" or ".join(f"{one}:FOLDER" for one in KINDS)}, not {name!r}'
      f'{did_you_mean(kind, list(KINDS))}'
    )
  return KINDS[kind](folder)
