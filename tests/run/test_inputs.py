"""A run is resumed with the weights, references and labels that it was begun with."""

import dataclasses
import types

import jax
import pytest

from perturb.errors import UserError
from perturb.run.experiment import Experiment, Targets
from perturb.run.inputs import check_inputs, digest_of
from tests.small_net import IMAGES, small_net


def check(folder, net=None, references=IMAGES, names=('ant', 'bee'), labels=()):
  experiment = Experiment(
    net or small_net(), (), Targets(lambda _: 0, labels), inputs={'references': references}
  )
  check_inputs(folder, experiment, types.SimpleNamespace(class_names=names))


def test_the_same_again_is_taken(tmp_path):
  check(tmp_path)
  before = (tmp_path / 'inputs.json').read_bytes()
  check(tmp_path)
  assert (tmp_path / 'inputs.json').read_bytes() == before


def test_other_weights_or_references_are_refused(tmp_path):
  check(tmp_path)
  net = small_net()
  other = dataclasses.replace(net, variables=jax.tree.map(lambda v: v + 1e-3, net.variables))
  with pytest.raises(UserError, match='the network is not that of its results'):
    check(tmp_path, other)
  with pytest.raises(UserError, match='the network is not that of its results'):
    check(tmp_path, dataclasses.replace(net, size=48))
  with pytest.raises(UserError, match='the references is not that of its results'):
    check(tmp_path, references=IMAGES[::-1])


def test_a_class_that_comes_between_is_refused_and_one_at_the_end_is_not(tmp_path):
  labels = (('ant', 0, 'ant'), ('bee', 1, 'bee'))
  check(tmp_path, labels=labels)
  with pytest.raises(
    UserError, match="label 1 of its images was 'bee' .class 1, bee., and is 'arc' .class 2, cat."
  ):
    check(tmp_path, names=('ant', 'arc', 'bee'), labels=(*labels, ('arc', 2, 'cat')))
  with pytest.raises(
    UserError, match="label 1 of its images was 'bee' .class 1, bee., and is 'bee' .class 3, dog."
  ):
    check(tmp_path, labels=(labels[0], ('bee', 3, 'dog')))
  check(tmp_path, names=('ant', 'bee', 'cat'), labels=(*labels, ('cat', 2, 'cat')))
  assert (tmp_path / 'labels.csv').read_text().splitlines()[-1] == 'cat,2,cat'
  with pytest.raises(
    UserError, match="label 2 of its images was 'cat' .class 2, cat., and is not there"
  ):
    check(tmp_path, labels=labels)


def test_a_digest_depends_on_values_names_and_shapes():
  one = {'a': IMAGES, 'b': IMAGES[:1]}
  digests = [
    digest_of(tree)
    for tree in (one, {'a': IMAGES[:1], 'b': IMAGES}, {'a': IMAGES * 2, 'b': IMAGES[:1]})
  ]
  assert len(set(digests)) == 3 and digest_of(dict(one)) == digests[0]


def test_weights_of_half_precision_have_a_digest():
  tree = {'a': jax.numpy.ones(3, jax.numpy.bfloat16), 'b': jax.numpy.float32(1)}
  assert digest_of(tree) == digest_of(dict(tree)) != digest_of({**tree, 'b': jax.numpy.float32(2)})
