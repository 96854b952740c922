"""Training the digits' network: it learns, and being killed changes nothing."""

import csv

import jax
import numpy as np
import pytest

from configs import train_mnist
from perturb import nets
from perturb.data.digits import load_digits, split
from perturb.errors import UserError
from perturb.tasks import train as training_command


def brief(epochs=2):
  config = train_mnist.get_config()
  config.epochs, config.test_share = epochs, 0.6
  config.batch_size, config.learning_rate = 25, 0.003
  return config


def test_digits_are_mnists():
  digits = load_digits()
  assert digits.images.shape == (5000, 28, 28, 3) and digits.images.dtype == np.uint8
  np.testing.assert_array_equal(np.bincount(digits.labels), [500] * 10)
  assert digits.images.max() == 255 and digits.images[:, 0, 0].max() == 0


def test_the_split_is_stratified_and_complete():
  digits = load_digits()
  known, unseen = split(digits, 0.2, seed=3)
  np.testing.assert_array_equal(np.bincount(unseen.labels), [100] * 10)
  assert known.images.sum() + unseen.images.sum() == digits.images.sum()


def test_it_learns_and_a_killed_training_continues_to_the_same_network(
  tmp_path, monkeypatch, capsys
):
  assert training_command.run(brief(), str(tmp_path / 'whole')) == 0
  rows = list(csv.DictReader((tmp_path / 'whole' / 'metrics.csv').open()))
  assert len(rows) == 2 and float(rows[-1]['test_accuracy']) > 0.93
  assert 'epoch 2: loss' in capsys.readouterr().out

  # Killed at the end of the second epoch, before its checkpoint.
  measure, seen = training_command.training.predictions, []

  def killed(net, images):
    seen.append(1)
    if len(seen) == 2:
      raise KeyboardInterrupt
    return measure(net, images)

  monkeypatch.setattr(training_command.training, 'predictions', killed)
  with pytest.raises(KeyboardInterrupt):
    training_command.run(brief(), str(tmp_path / 'killed'))
  assert not (tmp_path / 'killed' / 'network').exists()
  monkeypatch.undo()
  assert 'epoch 1:' in capsys.readouterr().out
  assert training_command.run(brief(), str(tmp_path / 'killed')) == 0
  continued = capsys.readouterr().out
  assert 'epoch 2:' in continued and 'epoch 1:' not in continued
  whole, again = (nets.load(str(tmp_path / name / 'network')) for name in ('whole', 'killed'))
  jax.tree.map(np.testing.assert_array_equal, again.variables, whole.variables)
  for name in ('metrics.csv', 'config.json', 'network/network.json'):
    assert (tmp_path / 'killed' / name).read_bytes() == (tmp_path / 'whole' / name).read_bytes()

  # What was written is the network, and the run loop's loader reads it.
  digits = load_digits()
  x = whole.preprocess(digits.images[::500])
  assert (np.asarray(whole(x)).argmax(-1) == np.arange(10)).mean() >= 0.9
  with pytest.raises(UserError, match='another config: epochs was 2, is 3'):
    training_command.run(brief(3), str(tmp_path / 'whole'))


@pytest.mark.parametrize(
  ('field', 'value', 'message'),
  [
    ('data', 'digit', 'config.data must be one of digits'),
    ('network', 'flower', 'flower has 12 classes, the data 10'),
    ('test_share', 1.5, 'config.test_share must be between 0 and 1'),
    ('epochs', 0, 'config.epochs must be at least 1'),
    ('batch_size', 5000, 'config.batch_size: 5000 for 2000 examples'),
  ],
)
def test_a_config_that_cannot_be_trained_is_refused(tmp_path, field, value, message):
  config = brief()
  config[field] = value
  with pytest.raises(UserError, match=message):
    training_command.run(config, str(tmp_path))
