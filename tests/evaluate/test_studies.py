"""The studies of meaningful perturbations, on functions and networks whose answer is known."""

import jax.numpy as jnp
import numpy as np
import pytest

from perturb.errors import UserError
from perturb.evaluate.boxes import outside, tight_boxes
from perturb.evaluate.parts import intensity
from perturb.evaluate.representativeness import representativeness, simplify
from perturb.studies import (
  Adversarial,
  Keypoint,
  adversarial_examples,
  detect,
  interrogate,
  minimal_boxes,
  part_saliency,
  read_keypoints,
  recover_labels,
)
from tests.small_net import IMAGES, small_net

SIZE = 32
PATCH = (slice(8, 16), slice(16, 28))  # What `seen` looks at.


def seen(x):
  """The contrast of a patch, against a constant: probabilities near 1 and near 0."""
  part = x[:, PATCH[0], PATCH[1]]
  score = 60 * part.var((1, 2, 3)) - 5
  return jnp.stack([score, jnp.zeros_like(score)], -1)


def picture():
  blocks = np.random.RandomState(0).randn(1, SIZE // 2, SIZE // 2, 3).astype(np.float32) * 0.5
  return blocks.repeat(2, 1).repeat(2, 2)


def evidence():
  heat = np.zeros((1, SIZE, SIZE), np.float32)
  heat[0][PATCH] = 1
  return heat


def test_simple_masks_keep_what_reaches_the_threshold():
  masks = 1 - evidence()
  simple = simplify(masks, [0.0, 0.5, 0.95], sigma=1.0)
  assert simple.shape == (1, 3, SIZE, SIZE)
  np.testing.assert_array_equal(simple[:, 0], 1)  # Nothing is deleted.
  deleted = 1 - np.asarray(simple).mean((2, 3))[0]
  assert (np.diff(deleted) > 0).all()
  assert simple[0, 1, 12, 22] == 0 and simple[0, 1, 30, 2] == 1


@pytest.mark.parametrize('mode', ['paper', 'released'])
def test_representative_masks_delete_under_every_perturbation(mode):
  masks = 1 - evidence()
  result = representativeness(
    seen, picture(), 0, masks, thresholds=[0.0, 0.6], mode=mode, noise=0.0
  )
  assert result.normalised.shape == (3, 1, 2)
  np.testing.assert_allclose(result.normalised[:, 0, 0], 1, atol=1e-3)
  assert (np.asarray(result.normalised)[:, 0, 1] < 0.3).all()
  wrong = representativeness(seen, picture(), 0, evidence(), thresholds=[0.6], noise=0.0)
  kept = representativeness(seen, picture(), 0, masks[:, ::-1, ::-1], thresholds=[0.6], noise=0.0)
  assert float(kept.normalised[1, 0, 0]) > 0.9
  assert wrong.deleted[0, 0] > result.deleted[0, 1]


def test_boxes():
  inside = np.zeros((2, 6, 8), bool)
  inside[0, 2:4, 3:7] = True
  np.testing.assert_array_equal(tight_boxes(jnp.asarray(inside)), [[2, 3, 4, 7], [0, 0, 0, 0]])
  kept = np.asarray(outside(jnp.array([[2, 3, 4, 7], [0, 0, 0, 0]]), (6, 8)))
  np.testing.assert_array_equal(kept, ~inside)


@pytest.mark.parametrize('mode', ['paper', 'released'])
def test_the_minimal_box_is_that_of_the_evidence(mode):
  result = minimal_boxes(seen, picture(), 0, evidence(), mode=mode)
  assert result.areas.shape == (1, 4)
  np.testing.assert_array_equal(result.boxes[0, 0], [8, 16, 16, 28])
  np.testing.assert_allclose(result.areas[0, 0], 8 * 12 / SIZE**2)
  # A map of the wrong place needs the whole image, which its threshold of zero gives.
  elsewhere = minimal_boxes(seen, picture(), 0, evidence()[:, ::-1, ::-1], mode=mode)
  np.testing.assert_allclose(elsewhere.areas, 1)


def test_a_map_without_contrast_takes_the_whole_image():
  result = minimal_boxes(seen, picture(), 0, np.ones((1, SIZE, SIZE)))
  np.testing.assert_array_equal(result.areas, 1)
  np.testing.assert_allclose(result.scores[0, 1:], 1, atol=1e-5)  # No pixel is above h > 0.


def test_interrogating_a_box():
  result = interrogate(seen, picture(), 0, (8, 16, 16, 28), sigma_max=10.0)
  assert result.full_probabilities[0] > 0.9 > 0.1 > result.probabilities[0]
  np.testing.assert_allclose(result.images[0, 20:], picture()[0, 20:], atol=1e-6)
  other = interrogate(seen, picture(), 0, (20, 0, 32, 12))
  np.testing.assert_allclose(other.probabilities, other.full_probabilities, rtol=1e-5)
  with pytest.raises(UserError, match=r'box \(0, 0, 40, 4\): give'):
    interrogate(seen, picture(), 0, (0, 0, 40, 4))


def test_intensity_is_the_mean_of_a_window():
  heat = np.arange(100.0).reshape(10, 10)
  assert intensity(heat, x=4.2, y=5.8) == heat[4:9, 2:7].mean()
  assert intensity(heat, x=0, y=0) == heat[:3, :3].mean()
  assert np.isnan(intensity(heat, x=10.2, y=0))


def test_part_saliency_by_hand():
  points = [
    Keypoint('a', 'tiger', 'eye', 0, 0),
    Keypoint('a', 'tiger', 'eye', 0, 0),
    Keypoint('a', 'tiger', 'foot', 0, 0),
    Keypoint('b', 'tiger', 'eye', 0, 0),  # No foot: does not count.
    Keypoint('c', 'bison', 'eye', 0, 0),
    Keypoint('c', 'bison', 'foot', 0, 0),
    Keypoint('d', 'bison', 'eye', 0, 0),
    Keypoint('d', 'bison', 'foot', 0, 0),
  ]
  values = [1.0, 3.0, 8.0, 100.0, 1.0, 5.0, 2.0, 7.0]
  bison, tiger = part_saliency(points, values, least_images=1)
  assert (tiger.class_name, tiger.images, tiger.means) == ('tiger', 1, {'eye': 2.0, 'foot': 8.0})
  assert bison.means == {'eye': 1.5, 'foot': 6.0}
  assert [p.class_name for p in part_saliency(points, values, least_images=2)] == ['bison']


def test_keypoint_files(tmp_path):
  good = tmp_path / 'good.csv'
  good.write_text('image,class,part,x,y\na.jpg,tiger,eye,3.5,4\n')
  assert read_keypoints(good) == [Keypoint('a.jpg', 'tiger', 'eye', 3.5, 4.0)]
  bad = tmp_path / 'bad.csv'
  bad.write_text('image,class,part,x,y\na.jpg,tiger,eye,3.5,?\n')
  with pytest.raises(UserError, match=r'bad\.csv: line 2 has no numbers'):
    read_keypoints(bad)
  bad.write_text('image,class,x,y\n')
  with pytest.raises(UserError, match="column 'part' is missing"):
    read_keypoints(bad)
  with pytest.raises(UserError, match='cannot be read'):
    read_keypoints(tmp_path / 'none.csv')


def test_adversarial_examples_stay_near_and_reach_their_target():
  net = small_net()
  found = adversarial_examples(net, IMAGES, epsilon=64.0)
  assert float(np.abs(found.images - IMAGES).max()) <= 64 / 255 + 1e-6
  assert float(found.images.min()) >= 0 and float(found.images.max()) <= 1
  scores = np.asarray(net(IMAGES))
  np.testing.assert_array_equal(found.clean_labels, scores.argmax(1))
  np.testing.assert_array_equal(found.targets, scores.argmin(1))
  pushed = np.asarray(net(found.images))
  rows = np.arange(2)
  assert (pushed[rows, scores.argmin(1)] > scores[rows, scores.argmin(1)]).all()
  np.testing.assert_array_equal(found.labels, pushed.argmax(1))
  # Ten steps of one grey level for the paper's epsilon of 8.
  near = np.asarray(adversarial_examples(net, IMAGES, epsilon=8.0).images) - IMAGES
  inside = (IMAGES > 0.05) & (IMAGES < 0.95)
  levels = near[inside] * 255
  np.testing.assert_allclose(levels, np.round(levels), atol=1e-3)
  assert np.abs(levels).max() == pytest.approx(8, abs=1e-3)


def test_labels_recovered_are_counted():
  net = small_net()
  labels = np.asarray(net(IMAGES)).argmax(1)
  example = Adversarial(jnp.asarray(IMAGES), jnp.asarray(labels), jnp.asarray(labels), labels)
  keep = np.ones(IMAGES.shape[:3])
  assert recover_labels(net, example, keep).top1 == 1
  wrong = example._replace(clean_labels=jnp.asarray([labels[0], (labels[1] + 1) % 5]))
  found = recover_labels(net, wrong, keep)
  assert found.top1 == 0.5 and found.top5 == 1


def test_heatmaps_that_differ_are_told_apart_and_others_are_not():
  random = np.random.RandomState(0)
  clean = random.rand(60, 28, 28).astype(np.float32)
  marked = random.rand(60, 28, 28).astype(np.float32)
  marked[:, 5:12, 5:12] += 1
  assert detect(clean, marked, epochs=8).accuracy > 0.9
  alike = detect(clean, random.rand(60, 28, 28).astype(np.float32), epochs=8)
  assert 0.2 < alike.accuracy < 0.8
  assert len(alike.predicted) == 24
  with pytest.raises(UserError, match='60 images are too few for batches of 400'):
    detect(clean, marked, batch_size=400)
  with pytest.raises(UserError, match='heatmaps must be'):
    detect(clean, marked[:5])


def test_a_class_that_is_not_in_the_image_has_no_box_and_no_share():
  """Class 1 is more probable where the patch is blurred: nothing of it can be suppressed."""
  both = np.repeat(picture(), 2, axis=0)
  result = minimal_boxes(seen, both, [1, 0], np.repeat(evidence(), 2, axis=0))
  assert np.isnan(result.areas[0]).all() and np.isnan(result.scores[0]).all()
  np.testing.assert_allclose(result.areas[1, 0], 8 * 12 / SIZE**2)
  found = representativeness(seen, both, [1, 0], np.ones(both.shape[:3]), thresholds=[0.5])
  blurred = found.normalised[0]  # In noise it is still less probable.
  assert np.isnan(blurred[0]).all() and np.isfinite(blurred[1]).all()
