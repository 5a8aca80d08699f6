"""The training network against the model it trains: the same logits where they are asked for, the same gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from harness import TINY, assert_same, features, randomize

import keras_bert as kb
from keras_bert.layers import fused_elementwise
from keras_bert.models import pretraining_network

pytestmark = pytest.mark.tensorflow_only


def model_of(name: str, **changes) -> kb.PretrainingModel:
    keras.utils.set_random_seed(2)
    model = kb.PretrainingModel(kb.Encoder(TINY[name].replace(**changes)))
    randomize(model)
    return model


def wanted(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    batch = len(inputs["token_ids"])
    return {
        **inputs,
        "masked_positions": np.array([[1, 3, 2]] * batch, "int32"),
        "sentence_positions": np.zeros((batch, 1), "int32"),
    }


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("fused", [False, True])
def test_logits_are_those_of_the_model(name, fused):
    model = model_of(name)
    inputs = features(model.config)
    expected = model(inputs)
    with fused_elementwise(fused):
        got = pretraining_network(model)({key: tf.constant(value) for key, value in wanted(inputs).items()})
    if fused:
        np.testing.assert_allclose(got["mlm_products"] + got["mlm_bias"], got["mlm_logits"], atol=1e-6)
    np.testing.assert_allclose(got["mlm_logits"], expected["mlm_logits"].numpy()[:, [1, 3, 2]], atol=1e-5)
    assert ("sentence_logits" in got) == ("sentence_logits" in expected)
    if "sentence_logits" in got:
        np.testing.assert_allclose(got["sentence_logits"][:, 0], expected["sentence_logits"], atol=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_packed_texts_do_not_see_each_other(name):
    """A row of two texts and padding gives what each text gives alone."""
    model = model_of(name)
    generator = np.random.default_rng(4)
    ids = generator.integers(5, model.config.vocab_size, (2, 12)).astype("int32")
    packed = {
        "token_ids": ids,
        "sequence_ids": np.array([[1] * 5 + [2] * 4 + [0] * 3] * 2, "int32"),
        "position_ids": np.array([[*range(5), *range(4), 0, 0, 0]] * 2, "int32"),
        "segment_ids": np.array([[0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0]] * 2, "int32"),
        "masked_positions": np.array([[2, 6, 8]] * 2, "int32"),
        "sentence_positions": np.array([[0, 5]] * 2, "int32"),
    }
    got = pretraining_network(model, packed=True)(packed)
    for text, (start, end, masked) in enumerate([(0, 5, [2]), (5, 9, [1, 3])]):
        alone = {"token_ids": ids[:, start:end]}
        if model.config.uses_segments:
            alone["segment_ids"] = packed["segment_ids"][:, start:end]
        expected = model(alone)
        rows = [0] if text == 0 else [1, 2]
        np.testing.assert_allclose(
            got["mlm_logits"].numpy()[:, rows], expected["mlm_logits"].numpy()[:, masked], atol=1e-5
        )
        if "sentence_logits" in got:
            np.testing.assert_allclose(got["sentence_logits"][:, text], expected["sentence_logits"], atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "albert"])
def test_rematerialized_gradients_are_the_same_dropout_included(name):
    """Computed again on the way back with the same masks, compiled by XLA or not; another seed, other masks. ALBERT's
    second layer shares the weights of its first."""
    model = model_of(name, hidden_dropout=0.2, attention_dropout=0.2)
    batch = {key: tf.constant(value) for key, value in wanted(features(model.config)).items()}
    weights = [variable.value for variable in model.trainable_variables]

    def gradients_of(network, jit_compile=False, fused=True):
        @tf.function(jit_compile=jit_compile, autograph=False)
        def compute(batch, seed):
            with tf.GradientTape() as tape:
                outputs = network(batch, training=True, dropout_seed=seed, fused_dropout=fused)
                loss = sum(tf.reduce_sum(value**2) for value in outputs.values())
            found = tape.gradient(loss, weights, unconnected_gradients="zero")
            return {str(i): tf.convert_to_tensor(value) for i, value in enumerate(found)}

        return lambda seed: compute(batch, seed)

    kept, again = gradients_of(pretraining_network(model)), pretraining_network(model, rematerialize=True)
    seed = tf.constant([5, 6])
    expected = kept(seed)
    assert_same(gradients_of(again)(seed), expected, 1e-3)
    assert_same(gradients_of(again, jit_compile=True)(seed), expected, 1e-3)
    bytes_ = gradients_of(pretraining_network(model), fused=False)(seed)
    assert_same(gradients_of(again, fused=False)(seed), bytes_, 1e-3)
    assert max(np.abs(bytes_[i] - expected[i]).max() for i in expected) > 0.1
    other = kept(tf.constant([5, 7]))
    assert max(np.abs(other[i] - expected[i]).max() for i in expected) > 0.1
