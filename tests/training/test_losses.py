"""Losses against their definitions, computed in NumPy."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert.errors import ConfigError
from keras_bert.layers import fused_elementwise
from keras_bert.layers.fusion import compiled_on_cpu
from keras_bert.training import (
    CosineSimilarityLoss,
    MultipleNegativesRankingLoss,
    SmoothedCrossEntropy,
    balanced_class_weights,
)
from keras_bert.training.objectives import SUMS, Objective, total_weights

seeds = st.integers(0, 2**31)


def log_softmax(x):
    x = x.astype("float64") - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(1, 9), st.booleans())
def test_contrastive_is_cross_entropy_of_cosines(seed, pairs, symmetric):
    vectors = np.random.default_rng(seed).normal(size=(2 * pairs, 5)).astype("float32")
    first, second = unit(vectors[::2].astype("float64")), unit(vectors[1::2].astype("float64"))
    logits = 20 * first @ second.T
    expected = -np.diag(log_softmax(logits)).mean()
    if symmetric:
        expected = (expected - np.diag(log_softmax(logits.T)).mean()) / 2
    loss = MultipleNegativesRankingLoss(symmetric=symmetric)
    got = float(loss(np.zeros(2 * pairs, "float32"), vectors))
    assert got == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(1, 9))
def test_cosine_is_the_squared_difference(seed, pairs):
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(2 * pairs, 5)).astype("float32")
    scores = generator.uniform(-1, 1, pairs).astype("float32")
    cosines = (unit(vectors[::2]) * unit(vectors[1::2])).sum(-1)
    got = float(CosineSimilarityLoss()(np.repeat(scores, 2), vectors))
    assert got == pytest.approx(((cosines - scores) ** 2).mean(), rel=1e-4, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(0, 0.9), st.booleans(), st.booleans())
def test_smoothed_cross_entropy(seed, smoothing, weighted, by_token):
    generator = np.random.default_rng(seed)
    shape = (3, 4) if by_token else (6,)
    logits = generator.normal(size=(*shape, 5)).astype("float32") * 3
    targets = generator.integers(0, 5, shape)
    targets[generator.random(shape) < 0.3] = -100
    weights = generator.uniform(0, 2, 5) if weighted else np.ones(5)
    counted = targets != -100
    smoothed = (1 - smoothing) * np.eye(5)[targets[counted]] + smoothing / 5
    losses = -(smoothed * log_softmax(logits[counted])).sum(-1) * weights[targets[counted]]
    expected = losses.sum() / max(counted.sum(), 1)
    loss = SmoothedCrossEntropy(smoothing, weights if weighted else None)
    assert float(loss(targets, logits)) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("fused", [False, True])
def test_a_masked_token_that_ties_for_the_top_is_a_guess(fused):
    """bfloat16 has 8 bits of mantissa: without this, a network that knows nothing would know everything."""
    logits = np.zeros((1, 4, 8), "float32")
    logits[0, 1, [2, 5]] = 3  # a tie of two, the target among them
    logits[0, 2, [1, 5]] = 3  # a tie of two others
    logits[0, 3] = 1.0 + np.arange(8) / 2000  # apart in float32, mostly alike in bfloat16
    targets = np.full((1, 4), 2, "int32")
    batch = {
        "masked_targets": tf.constant(targets),
        "masked_weights": tf.ones([1, 4]),
        "padding_mask": tf.ones([1, 8], tf.int32),
    }
    found = {}
    for dtype in (tf.float32, tf.bfloat16):
        outputs = {"mlm_logits": tf.cast(logits, dtype)}
        with fused_elementwise(fused):
            _, sums = Objective().losses(outputs, batch, total_weights(batch), {})
        found[dtype] = float(sums[SUMS.index("mlm_correct")])
    assert found[tf.float32] == pytest.approx(1 / 8 + 1 / 2)
    # 1 + n / 2000 rounds to 1 up to n = 7 (the next number is 1 + 1 / 128).
    assert found[tf.bfloat16] == pytest.approx(1 / 8 + 1 / 2 + 1 / 8)


@pytest.mark.parametrize("vocabulary", [5, 11, 16, 19])
@pytest.mark.parametrize("in_parts", [False, True])
@pytest.mark.parametrize("how", [contextlib.nullcontext, compiled_on_cpu, fused_elementwise])
def test_masked_tokens_loss_and_its_gradient(how, in_parts, vocabulary):
    """The gradient of w (log sum exp - logit) is w (softmax - 1 at the target), over the sum of weights; that of the
    logits' bias its sum. Vocabularies of fewer than the eight parts that are combined, of a multiple and of others."""
    generator = np.random.default_rng(0)
    logits, bias = (generator.normal(size=size).astype("float32") * 3 for size in ((2, 5, vocabulary), vocabulary))
    targets, weights = generator.integers(0, vocabulary, (2, 5)), generator.uniform(0, 2, (2, 5)).astype("float32")
    batch = {
        "masked_targets": tf.constant(targets, tf.int32),
        "masked_weights": tf.constant(weights),
        "padding_mask": tf.ones([2, 8], tf.int32),
    }
    parts = [tf.constant(logits), tf.constant(bias)]
    with how(), tf.GradientTape() as tape:
        tape.watch(parts)
        outputs = {"mlm_logits": parts[0] + parts[1]}
        if in_parts:
            outputs |= {"mlm_products": parts[0], "mlm_bias": parts[1]}
        loss, sums = Objective().losses(outputs, batch, total_weights(batch), {})
        of_logits, of_bias = tape.gradient(loss, parts)
    expected, one = log_softmax(logits + bias), np.eye(vocabulary)[targets]
    share = (weights / (weights.sum() + 1e-5))[..., None]
    assert float(loss) == pytest.approx(-(one * expected * share).sum(), rel=1e-6)
    gradient = (np.exp(expected) - one) * share
    np.testing.assert_allclose(of_logits, gradient, atol=1e-7)
    np.testing.assert_allclose(of_bias, gradient.sum((0, 1)), atol=1e-6)
    hits = weights[(logits + bias).argmax(-1) == targets].sum()
    assert float(sums[SUMS.index("mlm_correct")]) == pytest.approx(hits, rel=1e-6)


def test_without_comforts_it_is_keras_s_own():
    logits, targets = np.random.default_rng(0).normal(size=(8, 3)).astype("float32"), np.arange(8) % 3
    expected = float(keras.losses.SparseCategoricalCrossentropy(from_logits=True)(targets, logits))
    assert float(SmoothedCrossEntropy()(targets, logits)) == pytest.approx(expected, rel=1e-6)


def test_balanced_weights_are_scikit_learn_s():
    utils = pytest.importorskip("sklearn.utils.class_weight")
    targets = np.array([0, 0, 0, 2, 1, 0, 2, -100])
    expected = utils.compute_class_weight("balanced", classes=np.arange(3), y=targets[:-1])
    assert balanced_class_weights(targets, 3) == pytest.approx(expected.tolist())
    assert balanced_class_weights(np.array([0, 2]), 3) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("loss", [SmoothedCrossEntropy(0.1, [1.0, 2.0]), MultipleNegativesRankingLoss(10, True)])
def test_losses_are_saved_with_models(loss):
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()


def test_values_out_of_range_are_named():
    with pytest.raises(ConfigError, match="label_smoothing"):
        SmoothedCrossEntropy(1.0)
    with pytest.raises(ConfigError, match="class_weights"):
        SmoothedCrossEntropy(class_weights=[1.0, -1.0])
