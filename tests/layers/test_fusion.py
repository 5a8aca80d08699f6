"""Pieces between the products, fused: values and gradients of Keras's own operations and of definitions in NumPy."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_bert.layers import Dense, Dropout, dropout_seed, fused_elementwise
from keras_bert.layers.fusion import compiled_on_cpu
from keras_bert.layers.pieces import activated, add_and_norm, normalized, softmax_and_drop, split_heads
from keras_bert.layers.product import sum_of_rows
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


def norm_of(size):
    norm = keras.layers.LayerNormalization(epsilon=1e-5)
    norm.build((None, None, size))
    norm.set_weights(np.random.default_rng(0).normal(size=(2, size)))
    return norm


def dense_of(kernel, bias, **options):
    dense = Dense(kernel.shape[1], **options)
    dense.build((None, kernel.shape[0]))
    dense.set_weights([kernel, bias])
    return dense


def standardized(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_add_and_norm(rate, training):
    norm, dropout = norm_of(12), Dropout(rate)
    bias = np.random.default_rng(1).normal(size=12)
    dense = dense_of(np.eye(12), bias)
    x, residual, upstream = tensors(*[(3, 5, 12)] * 3)

    def piece(residual, x):
        return add_and_norm(norm, residual, dense, x, dropout, training)

    plain, fused = (with_gradients(piece, (residual, x), upstream, how) for how in (False, True))
    for expected, got in zip(plain, fused, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-6)
    kept = plain[2] != 0  # gradients of `x`
    assert bool(kept.mean() < 0.9) is (training and rate > 0)
    z = np.asarray(residual) + np.where(kept, (np.asarray(x) + bias) / (1 - rate * training), 0)
    np.testing.assert_allclose(fused[0], standardized(z) * norm.gamma.numpy() + norm.beta.numpy(), atol=2e-6)


def test_gradients_of_bias_scale_and_shift():
    """Sums over the rows of `x`'s gradient, of upstream times what was scaled, and of upstream alone."""
    norm, dense = norm_of(12), dense_of(np.eye(12), np.zeros(12))
    x, residual, upstream = tensors(*[(3, 5, 12)] * 3)
    with fused_elementwise(), tf.GradientTape() as tape:
        tape.watch(x)
        y = add_and_norm(norm, residual, dense, x, Dropout(0.1), False)
    variables = [x, dense.bias.value, norm.gamma.value, norm.beta.value]
    of_x, bias, scale, shift = tape.gradient(y, variables, output_gradients=upstream)
    z = standardized(np.asarray(residual, "float64") + np.asarray(x))
    np.testing.assert_allclose(bias, np.asarray(of_x).sum((0, 1)), atol=1e-5)
    np.testing.assert_allclose(scale, (z * np.asarray(upstream)).sum((0, 1)), atol=1e-5)
    np.testing.assert_allclose(shift, np.asarray(upstream).sum((0, 1)), atol=1e-5)


def test_normalized():
    norm = norm_of(12)
    x, upstream = tensors(*[(3, 5, 12)] * 2)
    plain, fused = (with_gradients(lambda x: normalized(norm, x), (x,), upstream, how) for how in (False, True))
    for expected, got in zip(plain, fused, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-6)
    expected = standardized(np.asarray(x, "float64")) * norm.gamma.numpy() + norm.beta.numpy()
    np.testing.assert_allclose(fused[0], expected, atol=2e-6)
    with fused_elementwise(), tf.GradientTape() as tape:
        y = normalized(norm, x)
    scale, shift = tape.gradient(y, [norm.gamma.value, norm.beta.value], output_gradients=upstream)
    of_scale = (standardized(np.asarray(x, "float64")) * np.asarray(upstream)).sum((0, 1))
    np.testing.assert_allclose(scale, of_scale, atol=1e-5)
    np.testing.assert_allclose(shift, np.asarray(upstream).sum((0, 1)), atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_split_heads(scale):
    generator = np.random.default_rng(0)
    dense = dense_of(generator.normal(size=(6, 12)), generator.normal(size=12))
    x, upstream = tensors((2, 5, 6), (2, 3, 5, 4))
    kernel, bias = (np.asarray(v, "float64") for v in (dense.kernel, dense.bias))
    expected = ((np.asarray(x) @ kernel + bias) * scale).reshape(2, 5, 3, 4).transpose(0, 2, 1, 3)
    of_product = np.asarray(upstream, "float64").transpose(0, 2, 1, 3).reshape(2, 5, 12) * scale
    for fused in (False, True):
        with fused_elementwise(fused), tf.GradientTape() as tape:
            tape.watch(x)
            y = split_heads(dense, x, 3, scale)
        found = tape.gradient(y, [x, dense.kernel.value, dense.bias.value], output_gradients=upstream)
        np.testing.assert_allclose(y, expected, atol=1e-5)
        wanted = (of_product @ kernel.T, np.einsum("bli,blo->io", x, of_product), of_product.sum((0, 1)))
        for got, value in zip(found, wanted, strict=True):
            np.testing.assert_allclose(got, value, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_sum_of_rows(dtype):
    """Of numbers whose sum 16 bits would lose on the way: 4096 times 1 + a little."""
    x = tf.cast(1 + np.random.default_rng(0).normal(size=(16, 256, 7)) / 64, dtype)
    expected = np.asarray(tf.cast(x, tf.float64)).sum((0, 1))
    np.testing.assert_allclose(tf.cast(sum_of_rows(x, x.dtype), tf.float64), expected, rtol=2**-8)
    np.testing.assert_allclose(sum_of_rows(x, tf.float32), expected, rtol=1e-5)


def test_gelu_for_the_compiler_is_by_erf():
    x = np.linspace(-6, 6, 1001, dtype="float32")
    with compiled_on_cpu():
        y = np.asarray(activation("gelu")(tf.constant(x)))
    expected = [v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x.astype("float64")]
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)


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
    x, upstream, bias = tensors((40, 9), (40, 9), (9,), dtype=dtype)
    # a product that rounds nothing
    function, dense = activation(name), dense_of(np.eye(9), np.asarray(tf.cast(bias, tf.float32)), dtype=dtype)
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
