"""Every task of `python -m concepts.main` by name; see `perturb.tasks.registry`."""

from collections.abc import Callable

import ml_collections

from concepts.tasks import net2vec, overlays, relevant, scenes

TASKS: dict[str, Callable[[ml_collections.ConfigDict, str], int]] = {
  'relevant': relevant.run,
  'net2vec': net2vec.run,
  'overlays': overlays.run,
  'scenes': scenes.run,
}
