"""The documents: what they name is there, and what they tell a person to run runs."""

import ast
import importlib
import importlib.util
import pathlib
import re
import shlex
from typing import NamedTuple

from absl import flags
from ml_collections import config_flags
import pytest

from concepts.tasks import (
  ablate,
  overlap,
  overlay_article,
  overlay_sensitivity,
  overlays,
  parts,
  report,
  select,
  show,
)
from concepts.tasks.registry import TASKS as CONCEPTS
from launch.sweep import jobs_of
from perturb import METHODS
from perturb.command_line import MODULES
from perturb.evaluate.parts import Keypoint
from perturb.nets import NETWORKS
from perturb.run import inputs
from perturb.store import explanations, failures, manifest
from perturb.tasks import (
  adversarial,
  an8flower,
  augmentations,
  box,
  channels,
  composites,
  heatmap_files,
  metric_tables,
  minimal_boxes,
  occlusion_robustness,
  representativeness,
  roar,
  scores,
  train,
  train_loop,
)
from perturb.tasks.metrics import METRICS as METRICS_OF_RUNS
from perturb.tasks.registry import TASKS
from tests import commands as processes
from tests import option_tables
from tests.conftest import CACHE
from tests.test_architecture import FLOORS, PROTOCOLS

ROOT = pathlib.Path(__file__).parent.parent
DOCUMENTS = ['README.md', 'CONTRIBUTING.md', *(f'docs/{p.name}' for p in ROOT.glob('docs/*.md'))]
TOOLS = ('apt-get', 'pip', 'ruff', 'mypy')  # Commands that are not a module of Python.

# What the slow test appends to a command, by the name of its config, so that it costs little.
CHEAPER = {
  'extremal': [
    '--config.settings.iterations=3',
    '--config.areas=(0.05, 0.1)',
    '--config.figures=1',
  ],
  'extremal_paper': ['--config.settings.iterations=3'],
  'extremal_robust': ['--config.settings.iterations=3'],
  'extremal_torchray': ['--config.settings.iterations=3'],
  'extremal_sweep': [
    '--set=images=chelsea',
    '--set=areas=(0.1,)',
    '--set=figures=0',
    '--set=network=mnist',
    '--set=weights=random',
  ],
  'compare': ["--config.methods=('grad_cam', 'rise')", '--config.options.rise.masks=20'],
  'channels': ['--config.areas=(10,)', '--config.settings.sweeps=1', '--config.steps=2'],
  'minimal_boxes': ["--config.methods=('gradient',)"],
  'representativeness': ['--config.images=chelsea', '--config.thresholds=(0.5,)'],
  'an8flower': [
    '--config.viewpoints=6',
    '--config.crops=1',
    '--config.rotations=1',
  ],
  'augmentations': [
    "--config.compared=('baseline',)",
    '--config.seeds=1',
    '--config.epochs=1',
  ],
  'augmentations_flower': [
    '--config.images=digits',
    "--config.compared=('baseline',)",
    '--config.seeds=1',
    '--config.epochs=1',
  ],
  'roar': [
    "--config.methods=('gradient',)",
    '--config.shares=(0.5,)',
    '--config.seeds=1',
    '--config.epochs=1',
  ],
  'occlusion_robustness': ['--config.shares=(0.5,)'],
  'train_mnist': ['--config.epochs=1'],
  'train_an8flower': ['--config.images=digits', '--config.epochs=1'],
  'net2vec': [
    '--config.scenes.pictures=60',
    "--config.layers=('head.norm',)",
    '--config.epochs=2',
    '--config.subsets=(1,)',
  ],
  'relevant': [
    '--config.training.epochs=1',
    '--config.explained=2',
    '--config.averaged=10',
    '--config.ablated=10',
  ],
  'relevant_an8flower': [
    '--config.images=digits',
    '--config.training.epochs=1',
    '--config.training.network=mnist',
    "--config.methods=('gradient',)",
    '--config.explained=2',
    '--config.averaged=10',
    '--config.ablated=10',
  ],
  'overlays': [
    "--config.layers=('head',)",
    '--config.rotations=(0, 90)',
    '--config.scales=(1,)',
    '--config.measured=1',
    '--config.groups=2',
  ],
  'scenes': ['--config.pictures=20'],
  'adversarial': [
    '--config.count=20',
    '--config.epochs=1',
    "--config.methods=('gradient',)",
    '--config.mask_method=gradient',
  ],
}


class Block(NamedTuple):
  """A fenced block: its language, first line, text, and why it is not run, if it is not."""

  language: str
  line: int
  text: str
  reason: str | None


def read(document):
  return (ROOT / document).read_text(encoding='utf-8')


def blocks(document):
  """The fenced blocks of a document, in order."""
  lines, found, opened = read(document).splitlines(), [], None
  for number, line in enumerate(lines):
    if not line.startswith('```'):
      continue
    if opened is None:
      opened = number
      continue
    before = re.fullmatch(r'<!-- not run: (.*) -->', lines[opened - 1])
    text = '\n'.join(lines[opened + 1 : number])
    reason = before and before[1].strip()
    found.append(Block(lines[opened][3:], opened + 2, text, reason))
    opened = None
  assert opened is None, f'{document}: the block at line {opened} does not end'
  return found


def commands(block):
  """The commands of a shell block, each as a list of words."""
  lines = block.text.replace('\\\n', ' ').splitlines()
  return [words for line in lines if (words := shlex.split(line, comments=True))]


def every_command(document):
  return [words for b in blocks(document) if b.language == 'sh' for words in commands(b)]


def option(words, name):
  """The value of --name=value in a command, or ''."""
  return next((w.split('=', 1)[1] for w in words if w.startswith(f'--{name}=')), '')


def prose(document):
  """A document without its blocks."""
  return re.sub(r'^```.*?^```', '', read(document), flags=re.DOTALL | re.MULTILINE)


def anchors(document):
  """The anchors of a document's headings, as GitHub makes them."""
  headings = re.findall(r'^#+ (.*)$', prose(document), re.MULTILINE)
  return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def test_the_readme_is_short():
  assert len(read('README.md').splitlines()) <= 150


@pytest.mark.parametrize('document', DOCUMENTS)
def test_every_block_says_what_it_is(document):
  for block in blocks(document):
    where = f'{document}:{block.line}'
    assert block.language in ('sh', 'python', 'text', 'math'), where
    if block.reason is not None:
      assert block.language in ('sh', 'python') and block.reason, where
  marks = len(re.findall('not run:', read(document)))
  assert marks == sum(block.reason is not None for block in blocks(document)), document


@pytest.mark.parametrize('document', DOCUMENTS)
def test_every_link_leads_somewhere(document):
  for target in re.findall(r'\]\(([^)\s]+)\)', prose(document)):
    if re.match(r'https?://', target):
      continue
    path, _, anchor = target.partition('#')
    file = ((ROOT / document).parent / path if path else ROOT / document).resolve()
    assert file.exists(), f'{document}: {target}'
    if anchor:
      assert anchor in anchors(file.relative_to(ROOT)), f'{document}: {target}'


def config_of(words):
  """The config of a command, parsed as `perturb.main` parses it: each field with its type."""
  named = r'--config(=|\.(?!(options|settings)\.))'  # The options are checked by the task.
  arguments = [words[0], *(w for w in words if re.match(named, w))]
  values = flags.FlagValues()
  config_flags.DEFINE_config_file('config', flag_values=values, sys_argv=arguments)
  values(arguments)
  return values['config'].value


def flags_of(module):
  """The names of a module's flags, and of those that its command shares with others."""
  package = module.split('.')[0].replace('concepts', 'perturb')
  files = [importlib.util.find_spec(module).origin, ROOT / package / 'command_line.py']
  text = ''.join(pathlib.Path(file).read_text() for file in files if pathlib.Path(file).exists())
  return set(re.findall(r"(?:DEFINE_\w+|add_argument)\(\s*'(?:--)?(\w+)'", text))


@pytest.mark.parametrize('document', DOCUMENTS)
def test_every_command_is_understood(document, monkeypatch):
  monkeypatch.chdir(ROOT)
  for words in every_command(document):
    line = f'{document}: {shlex.join(words)}'
    if words[0] in TOOLS:
      continue
    assert words[:2] == ['python', '-m'], line
    module, rest = words[2], words[3:]
    assert importlib.util.find_spec(module), line
    if not (ROOT / module.split('.')[0]).is_dir():
      continue
    names = {w.split('=')[0].removeprefix('--') for w in rest if w.startswith('--')}
    own = {re.sub('^no(?=dry_run)', '', name) for name in names if not name.startswith('config.')}
    assert own <= {'help', *flags_of(module)}, line
    if module in MODULES:
      check_config(words, line)
    elif option(words, 'config'):
      sets = [w.removeprefix('--set=') for w in words if w.startswith('--set=')]
      assert jobs_of(option(words, 'config'), option(words, 'workdir'), sets), line


def check_config(words, line):
  name, task = pathlib.Path(option(words, 'config')).stem, config_of(words[2:]).task
  assert task in (TASKS if words[2] == 'perturb.main' else CONCEPTS), line
  assert name in PROTOCOLS or name == task or name.startswith(f'{task}_'), line
  config_of([*words[2:], *CHEAPER.get(name, [])])


@pytest.mark.parametrize('document', DOCUMENTS)
def test_every_name_of_the_package_exists(document):
  pattern = r'(?<![\w/.])(perturb|concepts)((?:\.[A-Za-z_]\w*)+)'
  for package, name in re.findall(pattern, read(document)):
    if name == '.csv':  # A table.
      continue
    thing = importlib.import_module(package)
    for depth, part in enumerate(parts := name[1:].split('.'), start=1):
      module = '.'.join([package, *parts[:depth]])
      if not hasattr(thing, part) and importlib.util.find_spec(module):
        importlib.import_module(module)
      assert hasattr(thing, part), f'{document}: {package}{name}'
      thing = getattr(thing, part)


@pytest.mark.parametrize('document', DOCUMENTS)
def test_every_python_block_is_python(document):
  for block in blocks(document):
    if block.language != 'python':
      continue
    for node in ast.walk(ast.parse(block.text)):
      if isinstance(node, ast.ImportFrom) and node.module.startswith(('perturb', 'concepts')):
        module = importlib.import_module(node.module)
        missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
        assert not missing, f'{document}:{block.line}: {missing}'


def test_every_method_is_described_with_its_source():
  text = read('docs/methods.md')
  for name, method in METHODS.items():
    assert re.search(rf'^\| \[`{name}`\]\(#', text, re.MULTILINE), name
    source = method.function.__module__.replace('.', '/') + '.py'
    assert f'](../{source})' in text, source


def test_every_option_is_described_as_it_is():
  """Type, default and meaning: written by `python -m tests.option_tables`."""
  assert read('docs/options.md') == option_tables.page()


TABLES = {  # File and tasks, as docs/tables.md names them -> the columns.
  'images.csv': manifest.HEADER,
  'labels.csv': inputs.HEADER,
  'failures.csv': failures.HEADER,
  'scores.csv of extremal': explanations.SCORES,
  'scores.csv of heatmaps, compare and benchmark': scores.SCORES,
  'scores.csv of channels': channels.SCORES,
  'classes.csv of channels': channels.CLASSES,
  'timings.csv of benchmark, compare, minimal_boxes, parts and representativeness': (
    heatmap_files.TIMINGS
  ),
  'representativeness.csv': representativeness.HEADER,
  'boxes.csv of minimal_boxes': minimal_boxes.BOXES,
  'interrogation.csv of box': box.HEADER,
  'keypoints.csv of parts': (*Keypoint._fields, 'intensity'),
  'detection.csv of adversarial': adversarial.DETECTION,
  'recovery.csv of adversarial': adversarial.RECOVERY,
  'metrics.csv of train': train_loop.METRICS,
  'classes.csv of train': train.CLASSES,
  'predictions.csv of train': train.PREDICTIONS,
  'benchmark.csv of benchmark': metric_tables.SUMMARY,
  'differences.csv of benchmark': metric_tables.DIFFERENCES,
  'metrics.csv of benchmark': ('image', 'method', *metric_tables.columns_of(list(METRICS_OF_RUNS))),
  'occlusion_robustness.csv': occlusion_robustness.HEADER,
  'augmentations.csv': augmentations.EACH,
  'augmentations_means.csv': augmentations.MEANS,
  'roar.csv': roar.EACH,
  'roar_means.csv': roar.MEANS,
  'labels.csv of composites': composites.HEADER,
  'labels.csv of an8flower': an8flower.HEADER,
  'weights.csv of relevant': select.WEIGHT_HEADER,
  'lasso.csv of relevant': select.LASSO_HEADER,
  'mu.csv of relevant': select.MU_HEADER,
  'classes.csv of relevant': show.CLASSES,
  'ablation.csv of relevant': ablate.HEADER,
  'overlap.csv of relevant': overlap.HEADER,
  'sensitivity.csv of overlays': overlay_sensitivity.HEADER,
  'turning.csv of overlays': overlay_sensitivity.TURNING,
  'similarity.csv of overlays': overlays.SIMILARITY,
  'pictures.csv of overlays': overlay_article.PICTURES,
  'concepts.csv of net2vec': report.CONCEPTS,
  'filters.csv of net2vec': report.FILTERS,
  'layers.csv of net2vec': report.LAYERS,
  'neighbours.csv of net2vec': report.NEIGHBOURS,
  'subsets.csv of net2vec': report.SUBSETS,
  'overlap_images.csv of relevant': overlap.IMAGES,
  'parts.csv of relevant': parts.HEADER,
}


def test_every_column_of_every_table_is_described():
  parts = re.split(r'^#{2,3} (.*)$', read('docs/tables.md'), flags=re.MULTILINE)[1:]
  described = {
    heading.replace('`', ''): tuple(re.findall(r'^\| `(\w+)` \|', text, re.MULTILINE))
    for heading, text in zip(parts[::2], parts[1::2], strict=True)
  }
  assert described.pop('summary.json') == ('images', 'done', 'failed', 'rows')
  assert {heading: names for heading, names in described.items() if names} == TABLES


def test_every_network_is_described():
  text = read('docs/networks.md')
  for name in NETWORKS:
    assert re.search(rf'^\| `{name}` \|', text, re.MULTILINE), name


def test_every_config_is_in_the_readme():
  for path in ROOT.glob('configs/*.py'):
    if path.stem not in ('__init__', 'common'):
      assert f'(configs/{path.name})' in read('README.md'), path.name


def test_the_architecture_is_that_of_the_tree():
  text = prose('docs/architecture.md')
  named = [code for code in re.findall(r'`([^`]+)`', text) if re.fullmatch(r'[\w./]+', code)]
  paths = [code for code in named if '/' in code or code.endswith('.py')]
  assert [path for path in paths if not (ROOT / path).exists()] == []
  packages = [init.parent.relative_to(ROOT) for init in ROOT.glob('perturb/**/__init__.py')]
  assert [str(package) for package in packages if f'{package}/' not in [*paths, 'perturb/']] == []


def test_the_floors_are_those_that_imports_keep():
  rows = re.findall(r'^\| \d+ \| (`perturb/[^|]*) \|$', prose('docs/architecture.md'), re.MULTILINE)
  named = [
    {name.removesuffix('.py') for name in re.findall(r'`perturb/([\w.]+)/?`', r)} for r in rows
  ]
  assert named == [*reversed(FLOORS)]


@pytest.fixture(scope='module')
def shell(tmp_path_factory):
  """Runs a command of a document, made cheap, in a folder of its own; the same one only once."""
  folder, done = tmp_path_factory.mktemp('documents'), set()
  (folder / 'configs').symlink_to(ROOT / 'configs')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(processes, 'ROOT', folder)
    patch.setenv('PYTHONPATH', str(ROOT))
    server = processes.Server()

  def run(words):
    name = pathlib.Path(option(words, 'config')).stem
    cheaper = CHEAPER.get(name, [])
    # A sequence that is given twice is both.
    replaced = tuple(f'{one.split("=")[0]}=' for one in cheaper if one.startswith('--config.'))
    words = [word for word in words if not (replaced and word.startswith(replaced))]
    _, _, module, *arguments = [*words, *cheaper]
    if (line := shlex.join([module, *arguments])) in done:
      return
    if module in MODULES:
      arguments.append(f'--compilation_cache={CACHE}')
    ended = server.wait(server.start(module, arguments, {}))
    assert ended.returncode == 0, f'{line}\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}'
    done.add(line)

  run.folder = folder
  return run


@pytest.mark.slow
@pytest.mark.parametrize('document', [d for d in DOCUMENTS if d != 'CONTRIBUTING.md'])
def test_what_a_document_says_to_run_runs(document, shell, monkeypatch):
  monkeypatch.chdir(shell.folder)
  names = {'__name__': document}  # One notebook a document.
  for block in blocks(document):
    if block.reason is not None:
      continue
    if block.language == 'sh':
      for words in commands(block):
        shell(words)
    elif block.language == 'python':
      exec(compile(block.text, f'{document}:{block.line}', 'exec'), names)
