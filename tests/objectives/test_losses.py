"""The losses against hand arithmetic, segmentation-models' own, finite differences, and one device against two."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import jaccard_score, log_loss

from faceseg.models.backbones import segmentation_models
from faceseg.objectives.losses import build_loss
from faceseg.params import LossParams

CLASSES = 3


NO_TERM = dict.fromkeys(("cross_entropy", "dice", "jaccard", "focal", "tversky", "lovasz"), 0.0)
SHAPES = {"focal_gamma": 2.0, "tversky_alpha": 0.3, "tversky_beta": 0.7}


def _loss(cross_entropy=0.0, dice=0.0, jaccard=0.0, classes=CLASSES, class_weights=None, **others):
    terms = {"cross_entropy": cross_entropy, "dice": dice, "jaccard": jaccard, **others}
    return build_loss(LossParams(**{**NO_TERM, **SHAPES, **terms}), classes, class_weights)


def _random(shape=(2, 5, 4), seed=0):
    """Logits, and masks that hold every class and 255."""
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, CLASSES, shape)
    masks[0, 0, :] = 255
    return rng.normal(0, 2, (*shape, CLASSES)).astype(np.float32), masks


def _by_hand():
    """One row of four pixels and two classes; the last pixel is not scored.

    p of class 1:  1/2  3/4  1/4  (9/10)     truth:  1  1  0  (255)
    """
    p = np.array([0.5, 0.75, 0.25, 0.9])
    logits = np.stack([np.zeros(4), np.log(p / (1 - p))], axis=-1)[None, None]
    return logits.astype(np.float32), np.array([[[1, 1, 0, 255]]])


def test_cross_entropy_is_the_mean_over_scored_pixels():
    # -(ln 1/2 + ln 3/4 + ln 3/4) / 3
    expected = (np.log(2) + 2 * np.log(4 / 3)) / 3
    assert _loss(cross_entropy=1, classes=2)(*_by_hand()).numpy() == pytest.approx(expected, rel=1e-6)


def test_dice_and_jaccard_by_hand():
    # class 0: I = 3/4, P = 1/2 + 1/4 + 3/4 = 3/2, T = 1: Dice 1.5 / 2.5, Jaccard 0.75 / 1.75
    # class 1: I = 5/4, P = 1/2 + 3/4 + 1/4 = 3/2, T = 2: Dice 2.5 / 3.5, Jaccard 1.25 / 2.25
    dice = 1 - (1.5 / 2.5 + 2.5 / 3.5) / 2
    jaccard = 1 - (0.75 / 1.75 + 1.25 / 2.25) / 2
    assert _loss(dice=1, classes=2)(*_by_hand()).numpy() == pytest.approx(dice, rel=1e-6)
    assert _loss(jaccard=1, classes=2)(*_by_hand()).numpy() == pytest.approx(jaccard, rel=1e-6)


def test_terms_add_up_by_weight():
    batch = _random()
    terms = [_loss(cross_entropy=1), _loss(dice=1), _loss(jaccard=1)]
    expected = sum(weight * term(*batch).numpy() for weight, term in zip((0.5, 2, 3), terms, strict=True))
    together = _loss(cross_entropy=0.5, dice=2, jaccard=3)(*batch)
    assert together.dtype == tf.float32
    assert together.numpy() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (_loss(dice=1), segmentation_models.losses.DiceLoss(per_image=False, smooth=0)),
        (_loss(jaccard=1), segmentation_models.losses.JaccardLoss(per_image=False, smooth=0)),
        # Theirs is a mean over pixels and classes, ours over pixels.
        (_loss(cross_entropy=1 / CLASSES), segmentation_models.losses.CategoricalCELoss()),
        (_loss(focal=0.25 / CLASSES), segmentation_models.losses.CategoricalFocalLoss(alpha=0.25, gamma=2.0)),
        # F-beta is (1 + b2) TP / ((1 + b2) TP + b2 FN + FP), so alpha is 1 / (1 + b2) and beta b2 / (1 + b2).
        (
            _loss(tversky=1, tversky_alpha=0.2, tversky_beta=0.8),
            segmentation_models.losses.DiceLoss(beta=2, per_image=False, smooth=0),
        ),
    ],
    ids=["dice", "jaccard", "cross_entropy", "focal", "tversky"],
)
def test_agrees_with_segmentation_models(ours, theirs):
    logits, _ = _random()
    masks = np.random.default_rng(1).integers(0, CLASSES, logits.shape[:3])
    one_hot = tf.one_hot(masks, CLASSES)
    assert ours(logits, masks).numpy() == pytest.approx(theirs(one_hot, tf.nn.softmax(logits)).numpy(), rel=1e-5)


@pytest.mark.parametrize("term", NO_TERM)
def test_pixels_of_255_count_for_nothing(term):
    loss = _loss(**{term: 1})
    logits, masks = _random()
    changed = np.where((masks == 255)[..., None], logits + 7 * np.arange(CLASSES), logits)
    assert loss(changed, masks).numpy() == loss(logits, masks).numpy()
    # The same as if they had never been there.
    scored = masks != 255
    assert loss(logits, masks).numpy() == pytest.approx(
        loss(logits[scored][None, None], masks[scored][None, None]).numpy(), rel=1e-6
    )


@pytest.mark.parametrize("term", ["dice", "jaccard", "tversky", "lovasz"])
def test_a_class_that_is_not_in_the_batch_is_left_out(term):
    truth = np.array([[[0, 0, 1, 1]]])
    certain = 50 * np.eye(CLASSES, dtype=np.float32)[truth]
    assert _loss(**{term: 1})(certain, truth).numpy() == pytest.approx(0, abs=1e-6)
    # A pixel of class 0 that is taken for the absent class 2: class 0 has I 1, P 1, T 2.
    wrong = 50 * np.eye(CLASSES, dtype=np.float32)[[[[2, 0, 1, 1]]]]
    # Tversky: one false negative, at 0.7. Lovasz of a certain prediction is 1 - IoU.
    expected = {
        "dice": (1 - 2 / 3) / 2,
        "jaccard": (1 - 1 / 2) / 2,
        "tversky": (1 - 1 / 1.7) / 2,
        "lovasz": (1 - 1 / 2) / 2,
    }[term]
    assert _loss(**{term: 1})(wrong, truth).numpy() == pytest.approx(expected, rel=1e-5)


def test_a_batch_without_a_scored_pixel_is_zero_with_zero_gradients():
    logits = tf.Variable(_random()[0])
    with tf.GradientTape() as tape:
        value = _loss(**dict.fromkeys(NO_TERM, 1.0), class_weights=[1, 2, 3])(logits, np.full((2, 5, 4), 255))
    assert value.numpy() == 0
    np.testing.assert_array_equal(tape.gradient(value, logits), np.zeros((2, 5, 4, CLASSES)))


@pytest.mark.parametrize("term", NO_TERM)
def test_gradients_by_finite_differences(term):
    loss = _loss(**{term: 1})
    logits, masks = _random((1, 2, 3))
    point = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss(point, masks)
    gradient = tape.gradient(value, point).numpy()
    step = 1e-2
    for index in np.ndindex(logits.shape):
        ahead, behind = logits.copy(), logits.copy()
        ahead[index] += step
        behind[index] -= step
        slope = (loss(ahead, masks).numpy() - loss(behind, masks).numpy()) / (2 * step)
        assert gradient[index] == pytest.approx(slope, abs=2e-4)


def test_extreme_logits_stay_finite():
    logits = tf.Variable(np.array([[[[1e4, -1e4, 0], [-3e4, 3e4, 0]]]], np.float32))
    with tf.GradientTape() as tape:
        value = _loss(1, 1, 1)(logits, np.array([[[1, 1]]]))
    assert value.numpy() == pytest.approx(1e4 + (1 - 2 / 3) + (1 - 1 / 2), rel=1e-6)
    assert np.isfinite(tape.gradient(value, logits)).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_logits_are_summed_in_float32(dtype):
    # 40,000 pixels: neither format holds such a sum.
    rng = np.random.default_rng(3)
    logits = tf.cast(rng.normal(size=(1, 200, 200, CLASSES)), dtype)
    masks = rng.integers(0, CLASSES, (1, 200, 200)).astype(np.uint8)
    value = _loss(1, 1, 1)(logits, masks)
    assert value.dtype == tf.float32
    assert value.numpy() == _loss(1, 1, 1)(tf.cast(logits, tf.float32), masks).numpy()
    float64 = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64")
    expected = float64(masks, tf.cast(logits, tf.float64)).numpy()
    assert _loss(cross_entropy=1)(logits, masks).numpy() == pytest.approx(expected, rel=1e-5)


def test_focal_and_weighted_cross_entropy_by_hand():
    # p of the truth: 1/2  3/4  3/4; weights by true class: 3  3  1
    p, weights = np.array([0.5, 0.75, 0.75]), np.array([3, 3, 1])
    focal = np.mean((1 - p) ** 2 * -np.log(p))
    assert _loss(focal=1, classes=2)(*_by_hand()).numpy() == pytest.approx(focal, rel=1e-6)
    # A weighted mean: the weights' sum below, so that all weights alike change nothing.
    expected = np.sum(weights * -np.log(p)) / 7
    assert _loss(1, classes=2, class_weights=[1, 3])(*_by_hand()).numpy() == pytest.approx(expected, rel=1e-6)


def test_focal_without_gamma_is_cross_entropy():
    batch = _random()
    value = _loss(focal=1, focal_gamma=0.0)(*batch).numpy()
    assert value == pytest.approx(_loss(1)(*batch).numpy(), rel=1e-6)


def test_weighted_cross_entropy_agrees_with_scikit_learn():
    logits, masks = _random()
    scored = masks != 255
    weights = np.array([0.5, 1.0, 4.0])
    probabilities = tf.nn.softmax(tf.cast(logits[scored], tf.float64)).numpy()
    expected = log_loss(masks[scored], probabilities, sample_weight=weights[masks[scored]], labels=range(CLASSES))
    assert _loss(1, class_weights=weights)(logits, masks).numpy() == pytest.approx(expected, rel=1e-5)


def test_tversky_with_even_weights_is_dice_and_with_ones_jaccard():
    batch = _random()
    for alpha, term in ((0.5, "dice"), (1.0, "jaccard")):
        value = _loss(tversky=1, tversky_alpha=alpha, tversky_beta=alpha)(*batch).numpy()
        assert value == pytest.approx(_loss(**{term: 1})(*batch).numpy(), rel=1e-6)


def _lovasz_by_definition(p, truth):
    """One class: errors from the largest, each times what its pixel adds to 1 - IoU, as sets."""
    errors = np.abs(truth - p)
    positives = set(np.flatnonzero(truth))

    def set_loss(wrong):
        return 1 - len(positives - wrong) / len(positives | wrong)

    value, wrong = 0.0, set()
    for pixel in np.argsort(-errors):
        value += errors[pixel] * (set_loss(wrong | {pixel}) - set_loss(wrong))
        wrong = wrong | {pixel}
    return value


@pytest.mark.parametrize("seed", range(4))
def test_lovasz_is_the_extension_of_the_set_function(seed):
    logits, masks = _random(seed=seed)
    scored = masks != 255
    p = tf.nn.softmax(logits[scored]).numpy().astype(np.float64)
    of_classes = [_lovasz_by_definition(p[:, k], masks[scored] == k) for k in range(CLASSES)]
    assert _loss(lovasz=1)(logits, masks).numpy() == pytest.approx(np.mean(of_classes), rel=1e-5)


def test_lovasz_of_a_certain_prediction_is_one_minus_iou():
    _, masks = _random(seed=5)
    predicted = np.random.default_rng(6).integers(0, CLASSES, masks.shape)
    scored = masks != 255
    expected = 1 - jaccard_score(masks[scored], predicted[scored], average="macro")
    certain = 60 * np.eye(CLASSES, dtype=np.float32)[predicted]
    assert _loss(lovasz=1)(certain, masks).numpy() == pytest.approx(expected, rel=1e-5)


def test_logits_of_another_number_of_classes():
    with pytest.raises(ValueError, match=r"logits of shape \(2, 5, 4, 3\): expected 8 channels, one for each class"):
        _loss(cross_entropy=1, classes=8)(*_random())


TWO_DEVICES = """
import numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from faceseg.objectives.losses import build_loss
from faceseg.params import LossParams

rng = np.random.default_rng(0)
features = rng.normal(size=(4, 6, 6, 5)).astype("float32")
masks = rng.integers(0, 3, (4, 6, 6))
masks[:2][masks[:2] == 2] = 255  # the first device sees neither class 2 nor as many scored pixels
kernel = rng.normal(size=(5, 3)).astype("float32")
loss_of = build_loss(LossParams(
    cross_entropy=1.0, dice=2.0, jaccard=3.0, focal=4.0, tversky=5.0, lovasz=6.0,
    focal_gamma=2.0, tversky_alpha=0.3, tversky_beta=0.7,
), 3, [0.5, 1.0, 2.5])

def train(strategy, batches):
    with strategy.scope():
        weights = tf.Variable(kernel, aggregation=tf.VariableAggregation.SUM)
    def on_replica(index):
        batch, truth = (tf.gather(values, index) for values in batches)
        with tf.GradientTape() as tape:
            loss = loss_of(tf.einsum("bhwc,ck->bhwk", batch, weights), truth)
        return loss, tape.gradient(loss, weights)
    @tf.function
    def step():
        numbers = strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(context.replica_id_in_sync_group)
        )
        loss, gradient = strategy.run(on_replica, args=(numbers,))
        return [strategy.reduce("SUM", values, axis=None) for values in (loss, gradient)]
    return step()

one = train(tf.distribute.get_strategy(), (features[None], masks[None]))
halves = (features.reshape(2, 2, 6, 6, 5), masks.reshape(2, 2, 6, 6))
two = train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), halves)
np.testing.assert_allclose(two[0], one[0], rtol=1e-6)
np.testing.assert_allclose(two[1], one[1], rtol=1e-5, atol=1e-7)
print("equal", float(one[0]))
"""


def test_two_devices_compute_what_one_does():
    # Logical devices can only be set before TensorFlow's first operation: a process of its own.
    run = subprocess.run([sys.executable, "-c", TWO_DEVICES], capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("equal")
