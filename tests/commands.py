"""Commands as a person starts them, each a process of its own; the start costs little.

A server, started once by each test process, has imported what the commands import and computed
nothing. Every command is a fork of it that runs a module as `python -m` does.
"""

import atexit
import functools
import json
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import traceback

ROOT = pathlib.Path(__file__).parent.parent


class Server:
  """Starts commands, and waits for them."""

  def __init__(self):
    self.process = subprocess.Popen(
      [sys.executable, '-m', 'tests.commands'],
      cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    self.folder = tempfile.TemporaryDirectory()
    self.count = 0
    atexit.register(self.close)

  def close(self):
    self.process.stdin.close()
    self.process.wait()
    self.folder.cleanup()

  def _ask(self, **request):
    print(json.dumps(request), file=self.process.stdin, flush=True)
    return json.loads(self.process.stdout.readline())

  def start(self, module, arguments, environment):
    """Returns what `wait` takes."""
    self.count += 1
    paths = [f'{self.folder.name}/{self.count}.{name}' for name in ('out', 'err')]
    number = self._ask(module=module, arguments=arguments, environment=environment, paths=paths)
    return number, paths, [f'python -m {module}', *arguments]

  def wait(self, started):
    """Returns the finished process, as `subprocess.run` does."""
    number, paths, line = started
    status = self._ask(wait=number)
    return subprocess.CompletedProcess(line, status, *(pathlib.Path(p).read_text() for p in paths))


server = functools.cache(Server)


def run(module, *arguments, **environment):
  """Runs a command to its end; environment variables by name, XLA_FLAGS in addition to ours."""
  return server().wait(server().start(module, list(map(str, arguments)), environment))


def _become(module, arguments, environment, paths):
  """Turns this process into the command; returns its exit status."""
  for number, path in zip((1, 2), paths, strict=True):
    os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
  os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
  if 'XLA_FLAGS' in environment:
    environment['XLA_FLAGS'] += ' ' + os.environ.get('XLA_FLAGS', '')
  os.environ.update(environment)
  sys.argv = [module, *arguments]
  try:
    runpy.run_module(module, run_name='__main__', alter_sys=True)
    return 0
  except SystemExit as stop:
    if isinstance(stop.code, str):
      print(stop.code, file=sys.stderr)
    return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
  except BaseException:
    traceback.print_exc()
    return 1


def main():
  import launch.sweep  # noqa: F401
  import perturb.command_line
  import perturb.tasks.registry  # noqa: F401

  for line in sys.stdin:
    request = json.loads(line)
    if 'wait' in request:
      status = os.waitstatus_to_exitcode(os.waitpid(request['wait'], 0)[1])
      print(status, flush=True)
      continue
    child = os.fork()
    if not child:
      sys.exit(_become(**request))  # Through what is registered for the end of a process.
    print(child, flush=True)


if __name__ == '__main__':
  main()
