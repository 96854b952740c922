"""Compiled programs: found again, made anew where a function reads other arrays, and dropped."""

import collections
import gc
import sys
import threading
import types
import warnings
import weakref

from flax import nnx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturb.closures import _reads
from perturb.compiled import MOST_OF_ONE_CODE, compiled, shapes_of
from perturb.errors import PerturbWarning

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@compiled
def doubled(f, x):
  traces.append(None)
  return 2 * f(x)


traces: list[None] = []


def counted(call):
  """(what a call gives, how often it traced)."""
  before = len(traces)
  return call(), len(traces) - before


def scale_by(weight):
  return lambda x: x * weight


class Holder:
  """A callable object, as a model of a framework that JAX does not know."""

  def __init__(self, weight):
    self.weight = weight

  def __call__(self, x):
    return x * self.weight


WEIGHTS = {'scale': jnp.float32(2)}


def reads_a_global(x):
  return x * WEIGHTS['scale']


def through_another(x):
  return reads_a_global(x)


def test_a_function_is_compiled_once():
  f = scale_by(jnp.float32(2))
  first, traced = counted(lambda: doubled(f, X))
  again, traced_again = counted(lambda: doubled(f, X))
  assert (traced, traced_again) == (1, 0)
  np.testing.assert_array_equal(first, 4 * X)
  np.testing.assert_array_equal(again, first)


def changed_global():
  def change():
    WEIGHTS['scale'] = WEIGHTS['scale'] + 1

  return through_another, change


def changed_cell():
  weights = {'scale': jnp.float32(2)}
  return lambda x: x * weights['scale'], lambda: weights.update(scale=jnp.float32(3))


def changed_in_place():
  weight = np.full(3, 2, np.float32)
  return lambda x: x * weight, lambda: weight.__iadd__(1)


def changed_number():
  weights = {'scale': 2.0}
  return lambda x: x * weights['scale'], lambda: weights.update(scale=3.0)


def changed_attribute():
  holder = Holder(jnp.float32(2))
  return holder, lambda: setattr(holder, 'weight', jnp.float32(3))


def changed_method():
  holder = Holder(jnp.float32(2))
  return holder.__call__, lambda: setattr(holder, 'weight', jnp.float32(3))


def changed_nnx():
  model = nnx.Linear(3, 3, rngs=nnx.Rngs(0), use_bias=False)
  model.kernel.set_value(2 * jnp.eye(3))
  return lambda x: model(x), lambda: model.kernel.set_value(3 * jnp.eye(3))


P = {'scale': jnp.float32(2)}


class ReadsAGlobal:
  """By a method, which its call calls, and by a property."""

  @property
  def scale(self):
    return P['scale']

  def scaled(self, x):
    return x * self.scale

  def __call__(self, x):
    return self.scaled(x)


class OfItsClass:
  weight = jnp.float32(2)

  def __call__(self, x):
    return x * self.weight


class Slots:
  __slots__ = ('__weight',)

  def __init__(self, weight):
    self.set(weight)

  def set(self, weight):
    self.__weight = weight

  def __call__(self, x):
    return x * self.__weight


class EqualToAll(Holder):
  """Of its own equality, which its weight does not count for."""

  def __eq__(self, other):
    return isinstance(other, EqualToAll)

  def __hash__(self):
    return 0


def changed_under_a_call():
  return ReadsAGlobal(), lambda: P.update(scale=P['scale'] + 1)


def changed_class():
  OfItsClass.weight = jnp.float32(2)
  return OfItsClass(), lambda: setattr(OfItsClass, 'weight', jnp.float32(3))


def changed_slot():
  model = Slots(jnp.float32(2))
  return model, lambda: model.set(jnp.float32(3))


def changed_module():
  module = types.ModuleType('users_model')
  module.weight = jnp.float32(2)
  users = {'users_model': module}
  exec('def f(x):\n  return x * users_model.weight', users)
  return users['f'], lambda: setattr(module, 'weight', jnp.float32(3))


def changed_function_attribute():
  def f(x):
    return x * f.weight

  f.weight = jnp.float32(2)
  return f, lambda: setattr(f, 'weight', jnp.float32(3))


def changed_deque():
  weights = collections.deque([jnp.float32(2)])
  return lambda x: x * weights[0], lambda: weights.append(weights.popleft() + 1)


def changed_helper():
  helpers = {'f': lambda x: 2 * x}
  return lambda x: helpers['f'](x), lambda: helpers.update(f=lambda x: 3 * x)


def changed_whole_number():
  scale = 2

  def change():
    nonlocal scale
    scale = 3

  return lambda x: x * scale, change


def changed_text():
  holder = Holder('two')
  scales = {'two': 2, 'three': 3}
  return lambda x: x * scales[holder.weight], lambda: setattr(holder, 'weight', 'three')


def changed_place():
  pair = [jnp.float32(2), None]
  return lambda x: x * (pair[0] if pair[1] is None else pair[1] + 1), lambda: pair.reverse()


def changed_view():
  """The same bytes as another type."""
  held = {'weight': np.float32([1]).view(np.int32)}

  def f(x):
    return x * (2 if held['weight'].dtype == np.int32 else 3)

  return f, lambda: held.update(weight=held['weight'].view(np.float32))


def changed_equal():
  held = {'model': EqualToAll(2)}
  return lambda x: held['model'](x), lambda: held.update(model=EqualToAll(3))


@pytest.mark.parametrize(
  'make',
  [
    changed_global,
    changed_cell,
    changed_in_place,
    changed_number,
    changed_attribute,
    changed_method,
    changed_nnx,
    changed_under_a_call,
    changed_class,
    changed_slot,
    changed_module,
    changed_function_attribute,
    changed_deque,
    changed_helper,
    changed_whole_number,
    changed_text,
    changed_place,
    changed_view,
    changed_equal,
  ],
)
def test_what_a_function_reads_may_change(make):
  f, change = make()
  before = float(doubled(f, X)[1, 2] / X[1, 2])
  _, traced = counted(lambda: doubled(f, X))
  assert traced == 0
  change()
  after = float(doubled(f, X)[1, 2] / X[1, 2])
  assert after == pytest.approx(before + 2)


def test_objects_that_say_they_are_equal_are_told_apart():
  assert float(doubled(EqualToAll(2), X)[1, 2]) == 4 * X[1, 2]
  assert float(doubled(EqualToAll(3), X)[1, 2]) == 6 * X[1, 2]


def test_what_tracing_itself_changes_does_not_count():
  calls, cache = [], {}

  def f(x):
    calls.append(len(calls))
    cache.setdefault('size', x.size)
    return x * 2

  for _ in range(3):
    _, traced = counted(lambda: doubled(f, X))
  assert traced == 0 and len(calls) <= 2


def test_a_function_may_wait_for_another_thread_that_computes():
  def f(x):
    other = threading.Thread(target=lambda: doubled(scale_by(jnp.float32(5)), X))
    other.start()
    other.join(20)
    assert not other.is_alive()
    return x * 2

  assert shapes_of(lambda g, x: g(x), f, X).shape == X.shape


def test_a_bound_linen_module_is_its_variables():
  model = nn.Dense(4)
  variables = [model.init(jax.random.key(i), X) for i in range(2)]
  first, _ = counted(lambda: doubled(model.bind(variables[0]), X))
  other, traced = counted(lambda: doubled(model.bind(variables[1]), X))
  assert traced == 0  # The weights are arguments.
  np.testing.assert_allclose(first, 2 * model.apply(variables[0], X), rtol=1e-6)
  np.testing.assert_allclose(other, 2 * model.apply(variables[1], X), rtol=1e-6)
  assert shapes_of(lambda f, x: f(x), model.bind(variables[0]), X).shape == (2, 4)


@pytest.mark.parametrize('kind', ['lambda', 'object'])
def test_functions_made_at_each_call_are_warned_of_once_and_dropped(kind):
  alive = []

  class Model:
    weight = None

    def __call__(self, x):
      return x * self.weight

  model = Model()

  def call(i):
    weight = jnp.full(3, float(i))
    alive.append(weakref.ref(weight))
    if kind == 'lambda':
      return doubled(scale_by(weight), X)
    model.weight = weight
    return doubled(model, X)

  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    for i in range(6):
      np.testing.assert_array_equal(call(i), 2 * i * X)
  messages = [str(w.message) for w in caught if w.category is PerturbWarning]
  assert len(messages) == 1
  assert 'compiled a third time' in messages[0] and 'test_compiled.py' in messages[0]
  gc.collect()
  assert sum(ref() is not None for ref in alive) <= MOST_OF_ONE_CODE + 1


def test_a_function_of_traced_arrays_is_kept_by_nothing():
  def total(weight):
    return doubled(lambda x: x * weight, X).sum()

  slope = jax.jit(jax.grad(total))(jnp.float32(2))
  np.testing.assert_allclose(slope, 2 * X.sum())
  with jax.checking_leaks():
    jax.jit(total)(jnp.float32(3))


def test_much_that_is_read_costs_little():
  large = {'numbers': list(range(10**6)), 'names': {str(i): i for i in range(10**5)}, 'one': [1.0]}

  def f(x):
    return x * 2 * large['one'][0] * (len(large['numbers']) > 0) * (len(large['names']) > 0)

  assert len(list(_reads(f))) < 20
  doubled(f, X)
  _, traced = counted(lambda: doubled(f, X))
  assert traced == 0


def test_a_notebook_is_a_users_own(monkeypatch):
  main = sys.modules['__main__']
  monkeypatch.setattr(main, '__file__', '/lib/site-packages/kernel.py', raising=False)
  users = {'__name__': '__main__', 'weight': jnp.float32(2)}
  exec('f = lambda x: x * weight', users)
  assert float(doubled(users['f'], X)[0, 1]) == 4
  users['weight'] = jnp.float32(3)
  assert float(doubled(users['f'], X)[0, 1]) == 6
