"""Dropout whose random bits cost little: on TensorFlow a byte an element; inside a `dropout_seed` scope they are a pure
function of one seed, for XLA a hash, which is nearly free there on a CPU."""

from __future__ import annotations

import contextvars
import functools
import math
from contextlib import AbstractContextManager
from typing import Any

import keras
from keras import ops

from .fusion import is_fusing, program
from .scope import scoped

_SCOPE: contextvars.ContextVar[_SeedScope | None] = contextvars.ContextVar("dropout_seed", default=None)


@keras.saving.register_keras_serializable(package="keras_bert")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout`; inside `dropout_seed(seed)` the mask comes from that seed and the order of the calls.

    Keras draws a float from Philox or Threefry for every element, which costs a third of a small model's training step
    on a CPU. Inside the scope the bits come from a hash of each element's index, integer arithmetic that XLA fuses into
    the operation beside it. Outside it, and where the scope is not for XLA, each element takes on TensorFlow one byte
    of Philox's: see `drop_by_bytes`.
    """

    def is_known(self, training: bool | None) -> bool:
        """Whether what it drops is a function of seeds that `seeds` gives, so that others may do it."""
        scope = _SCOPE.get()
        return not (training and self.rate) or (scope is not None and scope.fused)

    def seeds(self, training: bool | None) -> tuple[Any, ...]:
        """The seed of the next call for `drop_by_hash`, or none where it would drop nothing."""
        scope = _SCOPE.get()
        return (scope.next_seed(),) if training and self.rate and scope is not None else ()

    def call(self, inputs: Any, training: bool = False) -> Any:
        scope = _SCOPE.get()
        if not training or self.rate == 0:
            return inputs
        if scope is not None:
            return scope.drop(inputs, self.rate)
        if self.noise_shape is None and _has_bytes(self.rate):
            return drop_by_bytes(inputs, self.rate, self.seed_generator.next())
        return super().call(inputs, training=training)


def _has_bytes(rate: float) -> bool:
    return keras.backend.backend() == "tensorflow" and rate < 255 / 256


def drop_by_bytes(x: Any, rate: float, seed: Any) -> Any:
    """`x` with elements set to 0 and the others scaled up by the share that is kept.

    An element goes when its byte lies below t, so that a call drops t/256 of the elements; t is one of the two whole
    numbers about 256 `rate`, drawn so that its mean is that. The scale is 256 / (256 - t), so that the mean of `x` is
    right in every call. TensorFlow alone: `keras.random` would divide every four bytes by the range of an integer, and
    a product with the mask takes two thirds of the time of a choice between two tensors.

    Args:
        x: finite floats of any shape.
        rate: at least 0, below 255/256.
        seed: integers `[2]`.
    """
    import tensorflow as tf

    mask = _byte_mask(rate, keras.backend.standardize_dtype(x.dtype))(tf.shape(x), tf.cast(seed, "int32"))
    mask.set_shape(x.shape)
    return x * mask


def drop_by_hash(x: Any, seed: Any, rate: float) -> Any:
    """`x` with a share `rate` of its elements set to 0, which a hash of their places chooses, the others scaled up.

    Args:
        x: floats of a shape that is known. seed: int32 `[2]`.
    """
    first, second = seed[0], seed[1]
    index = ops.reshape(ops.arange(math.prod(x.shape), dtype="int32"), x.shape)
    bits = _mix(ops.bitwise_xor(_mix(ops.bitwise_xor(index * _signed(0x9E3779B1), first)), second))
    # bits is uniform over int32: a share `rate` of its values lies below the bound.
    keep = bits >= round(rate * 2**32) - 2**31
    return ops.where(keep, x * ops.cast(1 / (1 - rate), x.dtype), ops.zeros((), x.dtype))


def _drop_by_program(x: Any, seed: Any, rate: float) -> Any:
    """`drop_by_hash`, which is its own gradient."""
    import tensorflow as tf

    drop = program(drop_by_hash, rate=rate)
    return tf.custom_gradient(lambda x: (drop(x, seed), lambda upstream: drop(upstream, seed)))(x)


@functools.cache
def _byte_mask(rate: float, dtype: str) -> Any:
    """The mask of `drop_by_bytes`, scaled, from a shape and a seed: traced once, where twenty layers that each wrote
    its operations took a third of the time that a small model's step is traced in."""
    import tensorflow as tf

    low = math.floor(rate * 256)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], "int32"), tf.TensorSpec([2], "int32")])
    def mask(shape: Any, seed: Any) -> Any:
        size = tf.reduce_prod(shape)
        words = (size + 3) // 4 + 1  # the last one draws t
        bits = tf.random.stateless_uniform((words, 1), seed, None, None, "int32", alg="philox")
        one_more = bits[-1, 0] < round((rate * 256 - low) * 2**32) - 2**31
        bound = tf.where(one_more, tf.constant(low + 1, "uint8"), tf.constant(low, "uint8"))
        scale = tf.where(one_more, tf.constant(256 / (255 - low), dtype), tf.constant(256 / (256 - low), dtype))
        bytes_ = tf.reshape(tf.reshape(tf.bitcast(bits, "uint8"), (-1,))[:size], shape)
        return tf.cast(bytes_ >= bound, dtype) * scale

    return mask


def dropout_seed(seed: Any, *, fused: bool = True) -> AbstractContextManager[None]:
    """All `Dropout` inside draws from `seed`, an int32 tensor `[2]`: the same seed and calls, the same masks.

    `fused` is for what XLA compiles. Without XLA every operation of the hash is a pass over the tensor, and TensorFlow
    takes `drop_by_bytes`, other masks in a fraction of the time; other backends know the hash alone.

    What is computed twice (rematerialised layers) must enter a scope of its own each time to see the same masks.
    """
    return scoped(_SCOPE, _SeedScope(seed, fused))


def derive_seed(seed: Any, number: int) -> Any:
    """Another int32 `[2]`, a function of `seed` and a number: one seed for each part of a network."""
    return ops.stack([_mix(ops.bitwise_xor(seed[0], _signed(number * 0x9E3779B1))), seed[1]])


class _SeedScope:
    def __init__(self, seed: Any, fused: bool) -> None:
        self.seed, self.fused, self.calls = seed, fused, 0

    def next_seed(self) -> Any:
        self.calls += 1
        return derive_seed(self.seed, self.calls)

    def drop(self, x: Any, rate: float) -> Any:
        seed = self.next_seed()
        if not self.fused and _has_bytes(rate):
            return drop_by_bytes(x, rate, seed)
        return _drop_by_program(x, seed, rate) if is_fusing() else drop_by_hash(x, seed, rate)


def _mix(x: Any) -> Any:
    """The finalizer of MurmurHash3 (Appleby, public domain) on int32, whose products wrap."""
    x = ops.bitwise_xor(x, _shift(x, 16))
    x = x * _signed(0x85EBCA6B)
    x = ops.bitwise_xor(x, _shift(x, 13))
    x = x * _signed(0xC2B2AE35)
    return ops.bitwise_xor(x, _shift(x, 16))


def _shift(x: Any, bits: int) -> Any:
    """Shift right, zeros in."""
    return ops.bitwise_and(ops.right_shift(x, bits), (1 << (32 - bits)) - 1)


def _signed(value: int) -> int:
    """The low 32 bits of a whole number, read as int32."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value
