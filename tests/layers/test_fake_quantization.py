"""Fake quantisation against the formulas of Jacob et al. 2018 in NumPy: values, and gradients worked out by hand."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert.errors import ConfigError
from keras_bert.layers import Dense, QuantizationSpec
from keras_bert.layers.fake_quantization import fake_quantize, fake_quantize_weights

pytestmark = pytest.mark.backend


def numbers(x, low, high):
    """int8 numbers, scale and zero point of `x`, in float64."""
    scale = (high - low) / 255
    zero_point = np.clip(np.rint(-128 - low / scale), -128, 127)
    return np.clip(np.rint(x / scale) + zero_point, -128, 127), scale, zero_point


def rounded(x, low, high):
    found, scale, zero_point = numbers(np.float64(x), low, high)
    return scale * (found - zero_point)


def rounded_weights(kernel, bits, blocks=1, clip=1.0):
    top = 2 ** (bits - 1) - 1
    parts = np.float64(kernel).reshape(blocks, -1, kernel.shape[1])
    scale = np.abs(parts).max(1, keepdims=True) * clip / top
    return (np.clip(np.rint(parts / scale), -top if bits == 8 else -8, top) * scale).reshape(kernel.shape)


@pytest.mark.parametrize(("low", "high"), [(-1.3, 2.1), (0.0, 5.0), (-0.17, 3.0), (-4.0, 0.01)])
def test_values(low, high):
    x = np.random.default_rng(0).normal(size=(50, 7)).astype("float32") * 2
    got = ops.convert_to_numpy(fake_quantize(x, *(ops.convert_to_tensor(b, "float32") for b in (low, high))))
    # A value within float32's error of the middle between two numbers may go either way.
    step = (high - low) / 255
    off = np.abs(got - rounded(x, low, high))
    assert (off < 1e-5).mean() > 0.99
    assert off.max() < step * 1.01
    assert fake_quantize(ops.zeros(1), *(ops.convert_to_tensor(b, "float32") for b in (low, high)))[0] == 0


@pytest.mark.parametrize(("bits", "blocks"), [(8, 1), (4, 1), (4, 4)])
def test_weights(bits, blocks):
    kernel = np.random.default_rng(1).normal(size=(16, 5)).astype("float32")
    clip = np.full((blocks, 5), 0.8, "float32")
    got = ops.convert_to_numpy(fake_quantize_weights(ops.convert_to_tensor(kernel), ops.convert_to_tensor(clip), bits))
    np.testing.assert_allclose(got, rounded_weights(kernel, bits, blocks, 0.8), atol=2e-6)


def test_a_column_of_zeros_stays_zero():
    got = fake_quantize_weights(ops.zeros((4, 2)), ops.ones((1, 2)), 8)
    np.testing.assert_array_equal(ops.convert_to_numpy(got), np.zeros((4, 2)))


def gradients(function, *arrays):
    """Of the sum of `function`'s output times a fixed weight, on the backend that runs."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tensors = [tf.constant(array) for array in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            total = function(*tensors)
        return [np.array(gradient) for gradient in tape.gradient(total, tensors)]
    if backend == "jax":
        import jax

        return [np.array(g) for g in jax.grad(function, argnums=tuple(range(len(arrays))))(*arrays)]
    import torch

    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    return [g.numpy() for g in torch.autograd.grad(function(*tensors), tensors)]


def test_gradients_of_activations_and_their_range():
    """The identity's inside the range; outside what would have reached the value reaches the bound."""
    generator = np.random.default_rng(2)
    x, weight = (generator.normal(size=40).astype("float32") for _ in range(2))
    low, high = np.float32(-0.7), np.float32(0.9)
    got = gradients(
        lambda x, low, high: ops.sum(fake_quantize(x, low, high) * ops.convert_to_tensor(weight)), x, low, high
    )
    _, scale, zero_point = numbers(x, -0.7, 0.9)
    below, above = x < scale * (-128 - zero_point), x > scale * (127 - zero_point)
    np.testing.assert_allclose(got[0], np.where(below | above, 0, weight), atol=1e-6)
    np.testing.assert_allclose(got[1:], [weight[below].sum(), weight[above].sum()], rtol=1e-5)
    assert min(below.sum(), above.sum()) > 3


def test_gradients_of_weights_go_straight_through():
    generator = np.random.default_rng(3)
    kernel, weight = (generator.normal(size=(8, 3)).astype("float32") for _ in range(2))
    clip = ops.full((1, 3), 0.5)
    (got,) = gradients(
        lambda kernel: ops.sum(fake_quantize_weights(kernel, clip, 4) * ops.convert_to_tensor(weight)), kernel
    )
    np.testing.assert_allclose(got, weight, atol=1e-6)


def make(spec, inputs=8, outputs=6, **changes):
    """A dense layer that rounds, with random scales and ranges."""
    generator = np.random.default_rng(4)
    dense = Dense(outputs, activation="tanh", dtype="float32")
    dense.build((None, inputs))
    dense.bias.assign(generator.normal(size=outputs))
    quantizer = dense.enable_fake_quantization(spec)
    if spec.activations:
        quantizer.input_scale.assign(generator.uniform(0.5, 2, inputs))
        quantizer.output_scale.assign(generator.uniform(0.5, 2, outputs))
        quantizer.input_range.assign([-2.5, 3.0])
        quantizer.output_range.assign([-4.0, 3.5])
        quantizer.input_offset.assign([0.01, -0.005])  # 1.2 and 0.9 times the start
    return dense, quantizer


def test_a_dense_layer_is_the_integer_product():
    dense, quantizer = make(QuantizationSpec())
    x = np.random.default_rng(5).normal(size=(20, 8)).astype("float32")
    kernel, bias, scale, out = (
        np.float64(ops.convert_to_numpy(v.value))
        for v in (dense.kernel, dense.bias, quantizer.input_scale, quantizer.output_scale)
    )
    read = rounded(x * scale, -2.5 * 1.2, 3.0 * 0.9)
    product = read @ rounded_weights(kernel / scale[:, None], 8) + bias
    expected = np.tanh(rounded(product / out, -4.0, 3.5) * out)
    got = ops.convert_to_numpy(dense(x))
    off = np.abs(got - expected)
    assert (off < 1e-5).mean() > 0.97  # the rest lies on the border of two numbers
    assert off.max() < 7.5 / 255 * out.max() * 1.1


def test_what_is_learned_and_that_it_trains():
    dense, _ = make(QuantizationSpec())
    learned = {variable.name for variable in dense.trainable_variables}
    assert learned == {"kernel", "bias", "input_offset", "output_offset"}
    inputs = keras.Input((8,))
    model = keras.Model(inputs, dense(inputs))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    x = 3 * np.random.default_rng(6).normal(size=(32, 8)).astype("float32")
    before = [ops.convert_to_numpy(v.value).copy() for v in dense.trainable_variables]
    model.fit(x, np.ones((32, 6), "float32"), verbose=0, batch_size=32)
    for variable, old in zip(dense.trainable_variables, before, strict=True):
        assert not np.array_equal(ops.convert_to_numpy(variable.value), old), variable.name


def test_without_a_quantizer_it_is_keras_own():
    ours, theirs = Dense(3, dtype="float32"), keras.layers.Dense(3, dtype="float32")
    x = np.random.default_rng(7).normal(size=(4, 5)).astype("float32")
    for layer in (ours, theirs):
        layer(x)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_array_equal(*(ops.convert_to_numpy(layer(x)) for layer in (ours, theirs)))


def test_refused():
    with pytest.raises(ConfigError, match="expected 4 or 8, got 2"):
        QuantizationSpec(weight_bits=2)
    with pytest.raises(ConfigError, match="a divisor of the layer's 8 inputs, got 3"):
        make(QuantizationSpec(4, 3, activations=False))
