"""The peer of benchmarks/input_pipeline.py: a DataLoader of torchvision's transforms, on stdin/out.

`RandomResizedCrop` and `RandomHorizontalFlip` of Pillow pictures, as in the ImageNet example of
PyTorch; the batches stay uint8, as ours do, which spares it the conversion to floats.

Runs in an environment of its own:

  pip install torch==2.13.0 torchvision==0.28.0
"""

import json
import pathlib
import sys
import time


def loader(folder: str, size: int, batch: int, workers: int):
  """Batches for ever: the pictures are drawn at random, with replacement."""
  import torch
  from torchvision import datasets, transforms

  change = [
    transforms.RandomResizedCrop(size),
    transforms.RandomHorizontalFlip(),
    transforms.PILToTensor(),
  ]
  pictures = datasets.ImageFolder(folder, transforms.Compose(change))
  sampler = torch.utils.data.RandomSampler(pictures, replacement=True, num_samples=10**9)
  return torch.utils.data.DataLoader(
    pictures, batch, sampler=sampler, num_workers=workers, prefetch_factor=2
  )


def processor_seconds(processes: list[str]) -> float:
  """Of some processes of Linux, by their numbers; 'self' is this one."""
  ticks = 0
  for process in processes:
    fields = pathlib.Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()
    ticks += int(fields[11]) + int(fields[12])
  return ticks / 100


def main() -> None:
  import torch

  torch.set_num_threads(1)
  replies, sys.stdout = sys.stdout, sys.stderr
  batches = {}
  for line in sys.stdin:
    request = json.loads(line)
    key = request['folder'], request['size'], request['batch'], request['workers']
    if key not in batches:
      iterator = iter(loader(*key))
      batches[key] = iterator, ['self', *(str(one.pid) for one in iterator._workers)]
    iterator, processes = batches[key]
    for _ in range(request['skip']):
      next(iterator)
    begin, used = time.perf_counter(), processor_seconds(processes)
    for _ in range(request['count']):
      next(iterator)
    reply = {
      'seconds': time.perf_counter() - begin,
      'processor_seconds': processor_seconds(processes) - used,
    }
    print(json.dumps(reply), file=replies, flush=True)


if __name__ == '__main__':
  main()
