"""Pieces between the products, fused: values and gradients of Keras's own operations and of definitions in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_bert.layers import Dense, Dropout, dropout_seed, fused_elementwise
from keras_bert.layers.pieces import activated, add_and_norm, softmax_and_drop
from keras_bert.layers.transformer import activation

pytestmark = pytest.mark.tensorflow_only

SEED = tf.constant([3, 4])


def with_gradients(function, tensors, upstream, fused):
    """Value and gradients of `function(*tensors)`, float64, in a graph of known shapes."""

    @tf.function(autograph=False)
    def graph(upstream, *tensors):
        with fused_elementwise(fused), tf.GradientTape() as tape:
            tape.watch(tensors)
            with dropout_seed(SEED):
                value = function(*tensors)
            gradients = tape.gradient(value, tensors, output_gradients=tf.cast(upstream, value.dtype))
        return [value, *gradients]

    return [np.asarray(tf.cast(x, tf.float64)) for x in graph(upstream, *tensors)]


def tensors(*shapes, dtype="float32"):
    generator = np.random.default_rng(len(shapes))
    return [tf.cast(generator.normal(size=shape), dtype) for shape in shapes]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_add_and_norm(rate, training):
    norm, dropout = keras.layers.LayerNormalization(epsilon=1e-5), Dropout(rate)
    norm.build((None, None, 12))
    norm.set_weights(np.random.default_rng(0).normal(size=(2, 12)))
    x, residual, upstream = tensors(*[(3, 5, 12)] * 3)

    def piece(residual, x):
        return add_and_norm(norm, residual, x, dropout, training)

    plain, fused = (with_gradients(piece, (residual, x), upstream, how) for how in (False, True))
    for expected, got in zip(plain, fused, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-6)
    kept = plain[2] != 0  # gradients of `x`
    assert bool(kept.mean() < 0.9) is (training and rate > 0)
    z = np.asarray(residual) + np.where(kept, np.asarray(x) / (1 - rate * training), 0)
    z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(fused[0], z * norm.gamma.numpy() + norm.beta.numpy(), atol=2e-6)


def test_gradients_of_scale_and_shift():
    """Sums over the rows of upstream times what was scaled, and of upstream alone."""
    norm = keras.layers.LayerNormalization(epsilon=1e-5)
    norm.build((None, None, 12))
    x, residual, upstream = tensors(*[(3, 5, 12)] * 3)
    with fused_elementwise(), tf.GradientTape() as tape:
        y = add_and_norm(norm, residual, x, Dropout(0.1), False)
    scale, shift = tape.gradient(y, [norm.gamma.value, norm.beta.value], output_gradients=upstream)
    z = np.asarray(residual, "float64") + np.asarray(x)
    z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(scale, (z * np.asarray(upstream)).sum((0, 1)), atol=1e-5)
    np.testing.assert_allclose(shift, np.asarray(upstream).sum((0, 1)), atol=1e-5)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_softmax_and_drop(rate):
    (scores, upstream), bias = tensors(*[(2, 3, 5, 7)] * 2), tf.constant([[[[0.0] * 6 + [-1e9]]]])
    dropout = Dropout(rate)
    plain, fused = (
        with_gradients(lambda x: softmax_and_drop(x, bias, dropout, True)[1], (scores,), upstream, how)
        for how in (False, True)
    )
    for expected, got in zip(plain, fused, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)
    assert (fused[0][..., -1] == 0).all()
    assert bool((fused[0][..., :-1] == 0).mean() > 0.2) is (rate > 0)


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "relu"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_activated(name, dtype):
    """In 16 bits what is fused is rounded once, and so within half a unit of the last place of the true value."""
    function, dense = activation(name), Dense(9, dtype=dtype)
    dense.build((None, 9))
    x, upstream, bias = tensors((40, 9), (40, 9), (9,), dtype=dtype)
    dense.kernel.assign(np.eye(9))  # a product that rounds nothing
    dense.bias.assign(bias)
    *wide, bias = (tf.cast(t, tf.float64) for t in (x, upstream, bias))
    y, of_x = with_gradients(lambda x: function(x + bias), (wide[0],), wide[1], fused=False)
    got = with_gradients(lambda x: activated(dense, function, x), (x,), upstream, fused=True)
    tolerance = {"float32": 2e-6, "bfloat16": 2**-8}[dtype]
    for found, expected in zip(got, (y, of_x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=3e-6)
    with fused_elementwise(), tf.GradientTape() as tape:
        y = activated(dense, function, x)
    of_bias = tape.gradient(y, dense.bias.value, output_gradients=upstream)
    np.testing.assert_allclose(of_bias, of_x.sum(0), rtol=2 * tolerance, atol=20 * tolerance)


def test_dropout_alone_drops_what_it_drops_in_the_graph():
    (x, upstream), dropout = tensors((6, 50), (6, 50)), Dropout(0.3)
    plain, fused = (with_gradients(lambda x: dropout(x, training=True), (x,), upstream, how) for how in (False, True))
    for expected, got in zip(plain, fused, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert 0.15 < (fused[0] == 0).mean() < 0.45
