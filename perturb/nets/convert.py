"""Command line: python -m perturb.nets.convert in.pth out/

Reads a PyTorch or safetensors checkpoint once, finds the network whose weights it holds, and writes
a folder (orbax) that is loaded by its path wherever a network's name is asked for.
"""

import argparse
from collections.abc import Mapping
import dataclasses

from perturb.console import quiet
from perturb.errors import UserError
from perturb.nets import preprocessing as pre
from perturb.nets.weights.errors import CheckpointError
from perturb.nets.weights.matching import Fit, State, has_layers_of, names_like
from perturb.nets.weights.saved import save
from perturb.nets.weights.torch_files import open_checkpoint
from perturb.nets.zoo import NETWORKS, find, read_class_names, read_fit


def recognise(states: Mapping[str, State]) -> dict[str, Fit]:
  """The names of the networks whose tensors these are, by name and shape, and how they fit.

  Args:
    states: the state dicts of a checkpoint by their places in the file.

  Raises:
    CheckpointError: if there are none, with what keeps it from the nearest one.
  """
  fits = {
    name: find(architecture, states)
    for name, architecture in NETWORKS.items()
    if has_layers_of(architecture.network, states)
  }
  if not fits:
    raise CheckpointError(
      f'the weights of no known network; the names in the file are like {names_like(states)}'
    )
  found = {name: fit for name, fit in fits.items() if not fit.wrong}
  if not found:
    # The one with the most of its tensors; of these the one that leaves over the fewest.
    nearest = max(fits, key=lambda name: (len(fits[name].names), -len(fits[name].wrong)))
    raise CheckpointError(
      f'the weights of no known network; nearest is {nearest}, but {fits[nearest].complaint()}'
    )
  return found


def convert(
  source: str,
  folder: str,
  *,
  network: str = '',
  state_dict: str = '',
  preprocessing: str = '',
  class_names: str = '',
) -> str:
  """Reads a checkpoint and writes a folder that `perturb.nets.load` reads.

  Args:
    source: path of a `.pth` or `.safetensors` file.
    folder: to write.
    network: one of `NETWORKS`; '' to recognise it by the names and shapes of the tensors.
    state_dict: the place in the file of the one to take, as 'model_ema'; '' for the one that fits,
      the plain weights before their running averages.
    preprocessing: one of `PREPROCESSINGS`; '' for that of the network's published weights.
    class_names: path of a text file, a class a line; '' for ImageNet's where there are 1000.

  Returns:
    What was written, and which tensors of the file were taken, in a line.

  Raises:
    UserError: for a file, a name or a tensor that does not fit.
  """
  if network and network not in NETWORKS:
    raise UserError(f'--network={network}: not one of {", ".join(NETWORKS)}')
  checkpoint = open_checkpoint(source)
  states = checkpoint.state_dicts
  if state_dict:
    states = {state_dict: checkpoint.state_dict(state_dict)}
  try:
    fits = {network: find(NETWORKS[network], states)} if network else recognise(states)
  except CheckpointError as error:
    raise CheckpointError(f'checkpoint {source}: {error}') from error
  names = [*fits]
  found = fits[names[0]]
  net = read_fit(NETWORKS[names[0]], checkpoint, found)
  if preprocessing:
    net = dataclasses.replace(net, preprocessing=pre.preprocessing(preprocessing))
  if class_names:
    lines = read_class_names(class_names, len(net.class_names))
    net = dataclasses.replace(net, class_names=lines)
  save(net, folder)
  others = f'; it also fits {", ".join(names[1:])} (--network)' if names[1:] else ''
  place = f' ({found.place()})' if found.place() else ''
  return f'{folder}: {names[0]}, {len(net.class_names)} classes{place}{others}'


def main() -> None:
  parser = argparse.ArgumentParser(prog='python -m perturb.nets.convert', description=__doc__)
  parser.add_argument('source', help='a .pth or .safetensors file')
  parser.add_argument('folder', help='where to write')
  parser.add_argument('--network', default='', help='its name; recognised if not given')
  parser.add_argument('--state_dict', default='', help='its place in the file, as model_ema')
  parser.add_argument('--preprocessing', default='', help=', '.join(pre.PREPROCESSINGS))
  parser.add_argument('--class_names', default='', help='a text file, a class a line')
  quiet()
  try:
    print(convert(**vars(parser.parse_args())))
  except UserError as error:
    raise SystemExit(f'error: {error}') from error


if __name__ == '__main__':
  main()
