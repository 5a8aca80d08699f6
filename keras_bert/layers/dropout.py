"""Dropout that inside a `dropout_seed` scope is a pure function of one seed, and nearly free under XLA on a CPU."""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

_SCOPE: contextvars.ContextVar[_SeedScope | None] = contextvars.ContextVar("dropout_seed", default=None)


@keras.saving.register_keras_serializable(package="keras_bert")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout`; inside `dropout_seed(seed)` the mask comes from that seed and the order of the calls.

    Keras draws its masks from Philox or Threefry, whose bits cost a third of a small model's training step on a CPU.
    Inside the scope they come from a hash of each element's index, integer arithmetic that XLA fuses into the
    operation beside it.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        scope = _SCOPE.get()
        if scope is None or not training or self.rate == 0:
            return super().call(inputs, training=training)
        return scope.drop(inputs, self.rate)


@contextlib.contextmanager
def dropout_seed(seed: Any) -> Iterator[None]:
    """All `Dropout` inside draws from `seed`, an int32 tensor `[2]`: the same seed and calls, the same masks.

    What is computed twice (rematerialised layers) must enter a scope of its own each time to see the same masks.
    """
    token = _SCOPE.set(_SeedScope(seed))
    try:
        yield
    finally:
        _SCOPE.reset(token)


def derive_seed(seed: Any, number: int) -> Any:
    """Another int32 `[2]`, a function of `seed` and a number: one seed for each part of a network."""
    return ops.stack([_mix(ops.bitwise_xor(seed[0], _signed(number * 0x9E3779B1))), seed[1]])


class _SeedScope:
    def __init__(self, seed: Any) -> None:
        self.seed, self.calls = seed, 0

    def drop(self, x: Any, rate: float) -> Any:
        self.calls += 1
        first, second = derive_seed(self.seed, self.calls)[0], self.seed[1]
        index = ops.reshape(ops.arange(math.prod(x.shape), dtype="int32"), x.shape)
        bits = _mix(ops.bitwise_xor(_mix(ops.bitwise_xor(index * _signed(0x9E3779B1), first)), second))
        # bits is uniform over int32: a share `rate` of its values lies below the bound.
        keep = bits >= round(rate * 2**32) - 2**31
        return ops.where(keep, x * ops.cast(1 / (1 - rate), x.dtype), ops.zeros((), x.dtype))


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
