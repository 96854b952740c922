"""Command line: python -m perturb.nets.convert in.pth out/

Reads a PyTorch or safetensors checkpoint once, finds the network whose weights it holds, and writes
a folder (orbax) that is loaded by its path wherever a network's name is asked for.
"""

import argparse
import dataclasses

import numpy as np

from perturb.console import quiet
from perturb.errors import UserError
from perturb.nets import preprocessing as pre
from perturb.nets.weights.from_torch import misfits, torch_shapes
from perturb.nets.weights.saved import save
from perturb.nets.weights.torch_files import CheckpointError, read_checkpoint
from perturb.nets.zoo import NETWORKS, fit, read_class_names, with_classes


def recognise(state: dict[str, np.ndarray]) -> list[str]:
  """The names of the networks whose tensors these are, by name and shape.

  Raises:
    CheckpointError: if there are none, with what keeps it from the nearest one.
  """
  wrong, known = {}, {}
  for name, architecture in NETWORKS.items():
    network = with_classes(architecture.network, state)
    wrong[name] = misfits(network, architecture.shape, state)
    known[name] = len(set(state) & set(torch_shapes(network, architecture.shape)))
  found = [name for name, lines in wrong.items() if not lines]
  if not found:
    nearest = max(known, key=known.__getitem__)
    raise CheckpointError(
      f'the weights of no known network; nearest is {nearest}, but {wrong[nearest][0]}'
    )
  return found


def convert(
  source: str, folder: str, *, network: str = '', preprocessing: str = '', class_names: str = ''
) -> str:
  """Reads a checkpoint and writes a folder that `perturb.nets.load` reads.

  Args:
    source: path of a `.pth` or `.safetensors` file.
    folder: to write.
    network: one of `NETWORKS`; '' to recognise it by the names and shapes of the tensors.
    preprocessing: one of `PREPROCESSINGS`; '' for that of the network's published weights.
    class_names: path of a text file, a class a line; '' for ImageNet's where there are 1000.

  Returns:
    What was written, in a line.

  Raises:
    UserError: for a file, a name or a tensor that does not fit.
  """
  if network and network not in NETWORKS:
    raise UserError(f'--network={network}: not one of {", ".join(NETWORKS)}')
  state = read_checkpoint(source)
  try:
    names = [network] if network else recognise(state)
    net = fit(NETWORKS[names[0]], state)
  except CheckpointError as error:
    raise CheckpointError(f'checkpoint {source}: {error}') from error
  if preprocessing:
    net = dataclasses.replace(net, preprocessing=pre.preprocessing(preprocessing))
  if class_names:
    lines = read_class_names(class_names, len(net.class_names))
    net = dataclasses.replace(net, class_names=lines)
  save(net, folder)
  others = f'; it also fits {", ".join(names[1:])} (--network)' if names[1:] else ''
  return f'{folder}: {names[0]}, {len(net.class_names)} classes{others}'


def main() -> None:
  parser = argparse.ArgumentParser(prog='python -m perturb.nets.convert', description=__doc__)
  parser.add_argument('source', help='a .pth or .safetensors file')
  parser.add_argument('folder', help='where to write')
  parser.add_argument('--network', default='', help='its name; recognised if not given')
  parser.add_argument('--preprocessing', default='', help=', '.join(pre.PREPROCESSINGS))
  parser.add_argument('--class_names', default='', help='a text file, a class a line')
  quiet()
  try:
    print(convert(**vars(parser.parse_args())))
  except UserError as error:
    raise SystemExit(f'error: {error}') from error


if __name__ == '__main__':
  main()
