"""Dropout from a seed: the rate, the scale, independence of elements, and the same masks for the same seed."""

import keras
import numpy as np
import pytest
from harness import values

from keras_bert.layers import Dropout, dropout_seed
from keras_bert.layers.dropout import derive_seed

pytestmark = pytest.mark.backend


def dropped(seed: tuple[int, int], rate: float = 0.1, shape: tuple[int, ...] = (64, 128, 128), calls: int = 1) -> list:
    layer = Dropout(rate)
    ones = keras.ops.ones(shape)
    with dropout_seed(keras.ops.convert_to_tensor(seed, dtype="int32")):
        return [keras.ops.convert_to_numpy(layer(ones, training=True)) for _ in range(calls)]


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_rate_and_scale(rate):
    (got,) = dropped((1, 2), rate)
    assert sorted(set(np.unique(got))) == pytest.approx([0, 1 / (1 - rate)])
    # One million elements: the rate's standard deviation is at most 0.0005.
    assert (got == 0).mean() == pytest.approx(rate, abs=0.002)
    assert np.abs((got == 0).mean(axis=0) - rate).max() < 0.4
    assert np.abs((got == 0).mean(axis=(0, 1)) - rate).max() < 0.03


def test_elements_and_calls_and_seeds_are_independent():
    first, second = (mask.ravel() == 0 for mask in dropped((1, 2), calls=2))
    others = [dropped(seed)[0].ravel() == 0 for seed in ((1, 3), (2, 2))]
    shifted = [np.roll(first, step) for step in (1, 2, 128, 128 * 128)]
    for other in (second, *others, *shifted):
        # 0.01 of a million pairs in common; five standard deviations are 0.0005.
        assert (first & other).mean() == pytest.approx(0.01, abs=0.0005)


def test_same_seed_same_masks():
    np.testing.assert_array_equal(dropped((7, 8)), dropped((7, 8)))


def test_derived_seeds_differ():
    seed = keras.ops.convert_to_tensor([3, 4], dtype="int32")
    found = {tuple(keras.ops.convert_to_numpy(derive_seed(seed, number)).tolist()) for number in range(1000)}
    assert len(found) == 1000


def test_outside_of_a_scope_and_at_inference_it_is_keras_s():
    ones = keras.ops.ones((200, 200))
    layer = Dropout(0.25, seed=3)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(layer(ones, training=True)),
        keras.ops.convert_to_numpy(keras.layers.Dropout(0.25, seed=3)(ones, training=True)),
    )
    with dropout_seed(keras.ops.convert_to_tensor([1, 2], dtype="int32")):
        assert values(keras.Variable(layer(ones, training=False))).min() == 1
