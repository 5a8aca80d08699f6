"""What 16 bits must not cost: the gradient of a bias is a sum over all tokens of a batch."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from harness import TINY

from keras_bert import layers
from keras_bert.layers.dense import Dense

TOKENS = (16, 256)


def weighted(shape: tuple[int, ...], dtype: str) -> tuple[tf.Tensor, np.ndarray]:
    """Weights of outputs, exact in `dtype`, and their sum over the tokens: the gradient of a bias."""
    weights = tf.cast(tf.random.stateless_normal((*TOKENS, *shape), (1, 2)), dtype)
    return weights, np.sum(weights.numpy().astype("float64"), axis=(0, 1))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_gradient_of_a_bias(dtype, compiled):
    dense = Dense(24, dtype=f"mixed_{dtype}")
    x = tf.cast(tf.random.stateless_normal((*TOKENS, 8), (3, 4)), dtype)
    weights, expected = weighted((24,), dtype)
    dense(x)

    @tf.function(jit_compile=compiled)
    def gradient() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(dense(x) * weights, "float32"))
        return tape.gradient(loss, dense.bias.value)

    error = np.linalg.norm(gradient().numpy() - expected) / np.linalg.norm(expected)
    assert error < 0.01


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_gradient_of_the_vocabulary_bias(dtype):
    config = TINY["bert"]
    head = layers.MaskedLMHead(config, dtype=f"mixed_{dtype}")
    x = tf.cast(tf.random.stateless_normal((*TOKENS, config.hidden_size), (3, 4)), dtype)
    table = tf.random.stateless_normal((config.vocab_size, config.embedding_size), (5, 6))
    weights, expected = weighted((config.vocab_size,), dtype)
    head(x, table)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(head(x, table) * weights, "float32"))
    error = np.linalg.norm(tape.gradient(loss, head.bias.value).numpy() - expected) / np.linalg.norm(expected)
    assert error < 0.01
