"""Numbers of 4 bits: how they are packed, scaled and rounded."""

import numpy as np
import tensorflow as tf
from keras_bert_tools.tflite.quantized import pack_int4, storable_block_scales
from keras_bert_tools.tflite.rounding import best_clips, int4_scales, round_to_int4


def test_packing():
    np.testing.assert_array_equal(pack_int4(np.array([[1, -8, 7, -1]], "int8")), [0x81, 0xF7])


def test_block_scales_are_what_float16_and_bfloat16_both_hold():
    scales = storable_block_scales(np.random.default_rng(0).lognormal(-4, 2, 1000).astype("float32"))
    np.testing.assert_array_equal(scales, scales.astype("float16").astype("float32"))
    np.testing.assert_array_equal(scales, tf.cast(tf.cast(scales, tf.bfloat16), tf.float32))


def test_rounding_by_data_loses_less_of_the_product_than_rounding_to_the_nearest():
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(40, 96)).astype("float32")
    inputs = generator.normal(size=(2000, 96)) @ (np.eye(96) + 0.3 * generator.normal(size=(96, 96)))
    products = (inputs.T @ inputs / len(inputs)).astype("float32")
    stored = round_to_int4(matrix, products, 32)
    assert (stored.values.min(), stored.values.max()) == (-8, 7)
    scales = int4_scales(matrix, best_clips(matrix, np.diag(products), 32))
    np.testing.assert_array_equal(stored.scales, scales)
    grid = np.repeat(scales, 32, axis=1)
    nearest = np.clip(np.rint(matrix / grid), -8, 7) * grid
    lost = [np.linalg.norm(inputs @ (each - matrix).T) for each in (stored.dequantize(), nearest)]
    assert lost[0] < 0.8 * lost[1]


def test_without_correlations_it_is_rounding_to_the_nearest():
    matrix = np.random.default_rng(0).normal(size=(5, 16)).astype("float32")
    stored = round_to_int4(matrix, np.eye(16, dtype="float32"), 0)
    np.testing.assert_array_equal(stored.values, np.clip(np.rint(matrix / stored.scales[:, None]), -8, 7))
