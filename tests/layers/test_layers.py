"""Every layer of keras_bert.layers against the layer contract, and the few that have a closed form against NumPy."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from harness import TINY, arrays, features, run_layer_test, values

from keras_bert import layers
from keras_bert.layers.embeddings import Sinusoids
from keras_bert.layers.host_memory import FetchedMemory, aligned_array, take_over, write_transposed
from keras_bert.layers.initializers import about_to_load
from keras_bert.layers.transformer import activation

pytestmark = pytest.mark.backend

BATCH, LENGTH, HIDDEN = 3, 9, 16
HIDDEN_STATES = np.random.default_rng(1).normal(size=(BATCH, LENGTH, HIDDEN)).astype("float32")
MASK = features(TINY["bert"])["padding_mask"]


def dense(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/kernel": (inputs, outputs), f"{name}/bias": (outputs,)}


def norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/gamma": (size,), f"{name}/beta": (size,)}


ATTENTION = {
    **dense("query", HIDDEN, HIDDEN),
    **dense("key", HIDDEN, HIDDEN),
    **dense("value", HIDDEN, HIDDEN),
    **dense("out", HIDDEN, HIDDEN),
}
BIAS = (1 - MASK[:, None, None, :].astype("float32")) * -1e4


def no_dropout(family: str):
    return TINY[family].replace(hidden_dropout=0.0, attention_dropout=0.0)


@pytest.mark.parametrize("family", TINY)
def test_text_embedding(family, tmp_path):
    config = no_dropout(family)
    inputs = features(config)
    inputs.pop("padding_mask")
    width = config.embedding_size
    weights = {"token_table": (40, width), "position_table": (config.max_positions + config.position_offset, width)}
    if config.num_segments:
        weights["segment_table"] = (config.num_segments, width)
    weights.update(norm("norm", width))
    if width != HIDDEN:
        weights.update(dense("projection", width, HIDDEN))
    run_layer_test(
        lambda dtype: layers.TextEmbedding(config, dtype=dtype), inputs, (BATCH, LENGTH, HIDDEN), weights, tmp_path
    )


def test_attention_bias(tmp_path):
    run_layer_test(
        lambda dtype: layers.AttentionBias(dtype=dtype), {"padding_mask": MASK}, (BATCH, 1, 1, LENGTH), {}, tmp_path
    )
    bias = arrays(layers.AttentionBias()(MASK))["output"][:, 0, 0]
    assert (bias[MASK == 1] == 0).all()
    assert (bias[MASK == 0] <= -1e4).all()


def test_self_attention(tmp_path):
    inputs = {"x": HIDDEN_STATES, "attention_bias": BIAS}
    config = no_dropout("bert")
    run_layer_test(
        lambda dtype: layers.SelfAttention(config, dtype=dtype), inputs, HIDDEN_STATES.shape, ATTENTION, tmp_path
    )


def test_attention_probabilities_are_softmax_over_real_tokens():
    layer = layers.SelfAttention(TINY["bert"])
    layer.build(HIDDEN_STATES.shape)
    inputs = [keras.ops.convert_to_tensor(value) for value in (HIDDEN_STATES, BIAS)]
    output, probabilities = (arrays(value)["output"] for value in layer.attend(*inputs))
    assert probabilities.shape == (BATCH, 2, LENGTH, LENGTH)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-6)
    assert probabilities.transpose(0, 3, 1, 2)[MASK == 0].max() == 0
    # The textbook formula, one head after the other.
    query, key, value = (
        HIDDEN_STATES @ arrays(dense.kernel)["output"] for dense in (layer.query, layer.key, layer.value)
    )
    context = np.zeros_like(HIDDEN_STATES)
    for head in range(2):
        part = slice(8 * head, 8 * head + 8)
        scores = query[..., part] @ key[..., part].transpose(0, 2, 1) / np.sqrt(8) + BIAS[:, 0]
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        context[..., part] = scores / scores.sum(-1, keepdims=True) @ value[..., part]
    np.testing.assert_allclose(output, context @ arrays(layer.out.kernel)["output"], atol=1e-6)


def test_transformer_block(tmp_path):
    weights = {
        **{f"attention/{name}": shape for name, shape in ATTENTION.items()},
        **norm("attention_norm", HIDDEN),
        **dense("feedforward_in", HIDDEN, 24),
        **norm("output_norm", HIDDEN),
        **dense("feedforward_out", 24, HIDDEN),
    }
    run_layer_test(
        lambda dtype: layers.TransformerBlock(no_dropout("bert"), dtype=dtype),
        {"x": HIDDEN_STATES, "attention_bias": BIAS},
        HIDDEN_STATES.shape,
        weights,
        tmp_path,
    )


@pytest.mark.parametrize("hidden_activation", [None, "tanh", "relu"])
def test_classification_head(hidden_activation, tmp_path):
    weights = dense("classifier", HIDDEN, 5)
    if hidden_activation:
        weights = {**dense("dense", HIDDEN, HIDDEN), **weights}

    def make(dtype):
        return layers.ClassificationHead(
            TINY["bert"], 5, hidden_activation=hidden_activation, input_dropout=True, dtype=dtype
        )

    run_layer_test(make, {"x": HIDDEN_STATES}, (BATCH, LENGTH, 5), weights, tmp_path)


@pytest.mark.parametrize("family", ["bert", "albert"])
def test_masked_lm_head(family, tmp_path):
    config = TINY[family]
    width = config.embedding_size
    table = np.random.default_rng(2).normal(size=(BATCH, 40, width)).astype("float32")

    class Decoder(layers.MaskedLMHead):
        """The head with a table a row, since a functional model splits all its inputs into rows."""

        def call(self, x, token_table):
            return super().call(x, token_table[0])

    weights = {**dense("dense", HIDDEN, width), **norm("norm", width), "bias": (40,)}
    inputs = {"x": HIDDEN_STATES, "token_table": table}
    with keras.saving.custom_object_scope({"Decoder": Decoder}):
        run_layer_test(lambda dtype: Decoder(config, dtype=dtype), inputs, (BATCH, LENGTH, 40), weights, tmp_path)


@pytest.mark.parametrize("mode", ["mean", "cls"])
@pytest.mark.parametrize("normalize", [True, False])
def test_pooling(mode, normalize, tmp_path):
    inputs = {"x": HIDDEN_STATES, "padding_mask": MASK}
    run_layer_test(lambda dtype: layers.Pooling(mode, normalize, dtype=dtype), inputs, (BATCH, HIDDEN), {}, tmp_path)
    pooled = arrays(layers.Pooling(mode, normalize)(HIDDEN_STATES, MASK))["output"]
    for row, length in enumerate(MASK.sum(axis=1)):
        expected = HIDDEN_STATES[row, :length].mean(0) if mode == "mean" else HIDDEN_STATES[row, 0]
        expected = expected / np.linalg.norm(expected) if normalize else expected
        np.testing.assert_allclose(pooled[row], expected, atol=1e-6)


def test_mean_pooling_of_long_float16_texts_keeps_its_length():
    states = np.full((1, 4096, 4), 3.0, "float16")
    pooled = arrays(layers.Pooling("mean", dtype="float16")(states, np.ones((1, 4096), "int32")))["output"]
    np.testing.assert_allclose(pooled, 3, rtol=1e-2)


@pytest.mark.parametrize(
    ("name", "at_one"), [("gelu", 0.8413447460685429), ("gelu_tanh", 0.841191990607477), ("relu", 1.0)]
)
def test_activations(name, at_one):
    values = arrays(activation(name)(keras.ops.convert_to_tensor(np.array([0.0, 1.0], "float32"))))["output"]
    np.testing.assert_allclose(values, [0, at_one], atol=1e-6)


def test_sinusoids_follow_the_transformer_paper():
    table = arrays(Sinusoids()((7, 6), "float32"))["output"]
    for position in range(7):
        for pair in range(3):
            angle = position / 10000 ** (2 * pair / 6)
            np.testing.assert_allclose(
                table[position, 2 * pair : 2 * pair + 2], [np.sin(angle), np.cos(angle)], atol=1e-6
            )


@pytest.mark.tensorflow_only  # Keras on PyTorch cuts the normal elsewhere
def test_weights_start_as_bert_draws_them():
    block = layers.TransformerBlock(TINY["bert"].replace(hidden_size=256, intermediate_size=1024))
    block.build((None, None, 256))
    kernel = keras.ops.convert_to_numpy(block.feedforward_in.kernel.value)
    assert abs(kernel.std() - 0.02 * 0.8796) < 2e-4  # a normal cut at two standard deviations keeps 0.8796 of them
    assert np.abs(kernel).max() <= 0.04


def test_weights_that_are_loaded_get_their_values_and_the_others_are_drawn():
    given = np.arange(16 * 24, dtype="float32").reshape(16, 24)
    with about_to_load() as start:
        block = layers.TransformerBlock(TINY["bert"])
        block.build((None, None, 16))
        start.give(block.feedforward_in.kernel, lambda out: np.copyto(out, given))
    np.testing.assert_array_equal(values(block.feedforward_in.kernel), given)
    assert values(block.feedforward_out.kernel).any()
    assert (values(block.output_norm.gamma) == 1).all()


@pytest.mark.parametrize("when", ["while building", "while reading"])
def test_a_load_that_fails_leaves_keras_as_it_was(when):
    def fail(out=None):
        raise ZeroDivisionError

    def load():
        with about_to_load() as start:
            block = layers.TransformerBlock(TINY["bert"])
            block.build((None, None, 16))
            start.give(block.feedforward_in.kernel, fail)
            if when == "while building":
                fail()

    with pytest.raises(ZeroDivisionError):
        load()
    with keras.StatelessScope():  # which would start again what was left half-way
        pass
    assert values(keras.Variable(np.ones(2))).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (256, 256), (513, 257)])
def test_blocks_make_up_the_whole_transpose(shape):
    matrix = np.random.default_rng(1).normal(size=shape).astype("float32")
    out = aligned_array(shape[::-1])
    write_transposed(matrix, out)
    np.testing.assert_array_equal(out, matrix.T)


def test_fetched_memory_is_handed_out_once_and_overlaps_nothing():
    shapes = [(300, 301), (200, 100), (100, 200), (4100, 4099), (3, 5)]  # two of one size, one larger than a chunk
    memory = FetchedMemory([math.prod(shape) for shape in shapes])
    arrays = [memory.take(shape) for shape in [*shapes, (200, 100)]]  # one more than was fetched
    for number, array in enumerate(arrays):
        assert array.ctypes.data % 64 == 0
        array[:] = number
    assert [array.shape for array in arrays] == [*shapes, (200, 100)]
    assert all((array == number).all() for number, array in enumerate(arrays))


@pytest.mark.tensorflow_only
def test_weights_are_taken_over_without_a_copy_and_can_be_trained():
    array = aligned_array((3, 5))
    array[:] = 1
    variable = keras.Variable(take_over(array))
    array[0, 0] = 7  # seen through the variable: there is one memory
    assert values(variable)[0, 0] == 7
    variable.assign_add(np.ones((3, 5), "float32"))
    assert values(variable)[0].tolist() == [8, 2, 2, 2, 2]
    del array
    assert values(variable)[2].tolist() == [2] * 5
