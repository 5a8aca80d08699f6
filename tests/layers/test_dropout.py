"""Dropout from a seed and by bytes: the rate, the scale, independence of elements, the same masks for the same seed."""

import keras
import numpy as np
import pytest
from harness import values

from keras_bert.layers import Dropout, dropout_seed
from keras_bert.layers.dropout import derive_seed, drop_by_bytes

pytestmark = pytest.mark.backend


def dropped(
    seed: tuple[int, int],
    rate: float = 0.1,
    shape: tuple[int, ...] = (64, 128, 128),
    calls: int = 1,
    fused: bool = True,
) -> list[np.ndarray]:
    layer = Dropout(rate)
    ones = keras.ops.ones(shape)
    with dropout_seed(keras.ops.convert_to_tensor(seed, dtype="int32"), fused=fused):
        return [keras.ops.convert_to_numpy(layer(ones, training=True)) for _ in range(calls)]


# Bytes drop whole 256ths.
@pytest.mark.parametrize(("rate", "fused"), [(0.1, True), (0.5, True), (0.125, False), (0.5, False)])
def test_rate_and_scale(rate, fused):
    (got,) = dropped((1, 2), rate, fused=fused)
    assert sorted(set(np.unique(got))) == pytest.approx([0, 1 / (1 - rate)])
    # One million elements: the rate's standard deviation is at most 0.0005.
    assert (got == 0).mean() == pytest.approx(rate, abs=0.002)
    assert np.abs((got == 0).mean(axis=0) - rate).max() < 0.4
    assert np.abs((got == 0).mean(axis=(0, 1)) - rate).max() < 0.03


@pytest.mark.parametrize(("rate", "fused"), [(0.1, True), (25 / 256, False)])
def test_elements_and_calls_and_seeds_are_independent(rate, fused):
    first, second = (mask.ravel() == 0 for mask in dropped((1, 2), rate, calls=2, fused=fused))
    others = [dropped(seed, rate, fused=fused)[0].ravel() == 0 for seed in ((1, 3), (2, 2))]
    shifted = [np.roll(first, step) for step in (1, 2, 3, 4, 128, 128 * 128)]
    for other in (second, *others, *shifted):
        # A hundredth of a million pairs in common, for both rates; five standard deviations are 0.0005.
        assert (first & other).mean() == pytest.approx(rate**2, abs=0.0005)


@pytest.mark.parametrize("fused", [True, False])
def test_same_seed_same_masks(fused):
    np.testing.assert_array_equal(dropped((7, 8), fused=fused), dropped((7, 8), fused=fused))


@pytest.mark.tensorflow_only
def test_without_xla_the_masks_of_a_seed_are_bytes_of_philox():
    seed = keras.ops.convert_to_tensor((7, 8), dtype="int32")
    expected = drop_by_bytes(keras.ops.ones((64, 128)), 0.1, derive_seed(seed, 1))
    np.testing.assert_array_equal(dropped((7, 8), shape=(64, 128), fused=False)[0], expected)


def test_derived_seeds_differ():
    seed = keras.ops.convert_to_tensor([3, 4], dtype="int32")
    found = {tuple(keras.ops.convert_to_numpy(derive_seed(seed, number)).tolist()) for number in range(1000)}
    assert len(found) == 1000


def test_at_inference_nothing_is_dropped():
    ones = keras.ops.ones((200, 200))
    assert values(keras.Variable(Dropout(0.25)(ones, training=False))).min() == 1
    with dropout_seed(keras.ops.convert_to_tensor([1, 2], dtype="int32")):
        assert values(keras.Variable(Dropout(0.25)(ones, training=False))).min() == 1


def test_other_backends_and_the_highest_rates_take_keras_s():
    ones = keras.ops.ones((200, 200))
    for rate in (0.25, 0.999)[keras.backend.backend() == "tensorflow" :]:
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(Dropout(rate, seed=3)(ones, training=True)),
            keras.ops.convert_to_numpy(keras.layers.Dropout(rate, seed=3)(ones, training=True)),
        )


def by_bytes(rate: float, calls: int, shape: tuple[int, ...], seed: int = 5) -> list[np.ndarray]:
    generator = keras.random.SeedGenerator(seed)
    ones = keras.ops.ones(shape)
    return [keras.ops.convert_to_numpy(drop_by_bytes(ones, rate, generator.next())) for _ in range(calls)]


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.99])
def test_bytes_drop_the_rate_on_average_and_keep_the_mean_in_every_call(rate):
    calls = np.stack(by_bytes(rate, 400, (33, 31)))
    shares, count = (calls == 0).mean(axis=(1, 2)), calls[0].size
    low = np.floor(rate * 256)
    # Every call drops one of two shares; five standard deviations of what 1023 elements show of it.
    for share in shares:
        assert min(abs(share - t / 256) for t in (low, low + 1)) < 5 * np.sqrt(0.25 / count)
    assert shares.mean() == pytest.approx(rate, abs=5 * np.sqrt((0.25 / count + 0.25 / 256**2) / 400))
    # What is kept has the scale of its share: two values beside 0, one where the share is whole.
    scales = {256 / (256 - t) for t in (low, low + 1)}
    for value in np.unique(calls[calls > 0]):
        assert min(abs(value / scale - 1) for scale in scales) < 1e-6


@pytest.mark.tensorflow_only
def test_bytes_are_independent_of_one_another_and_of_other_calls():
    first, second = (mask.ravel() == 0 for mask in by_bytes(0.5, 2, (64, 128, 128)))
    for other in (second, *(np.roll(first, step) for step in (1, 2, 3, 4, 5, 128))):
        assert (first & other).mean() == pytest.approx(0.25, abs=0.0025)


@pytest.mark.tensorflow_only
def test_the_same_generator_gives_the_same_bytes():
    np.testing.assert_array_equal(by_bytes(0.1, 3, (7, 5)), by_bytes(0.1, 3, (7, 5)))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("compiled", [False, True])
def test_bytes_in_a_graph_of_any_length(compiled):
    import tensorflow as tf

    layer = Dropout(0.25, seed=1)

    @tf.function(jit_compile=compiled, input_signature=[tf.TensorSpec([None, 3, None])])
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return y, tape.gradient(y, x)

    for length in (1, 10, 1001):
        x = tf.random.normal((2, 3, length)) + 5
        y, gradient = step(x)
        # The gradient is the mask itself, and the output is the input under it.
        np.testing.assert_allclose(y.numpy(), (x * gradient).numpy(), rtol=1e-6)
        assert set(np.unique(gradient.numpy())) <= {np.float32(0), np.float32(256 / 192)}


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_bytes_keep_the_dtype(dtype):
    got = drop_by_bytes(keras.ops.ones((3, 4), dtype=dtype), 0.1, keras.random.SeedGenerator(0).next())
    assert keras.backend.standardize_dtype(got.dtype) == dtype
