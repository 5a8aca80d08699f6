"""Random numbers as a pure function of a key and a counter, on tensors of any shape.

A generator with a state would tie an example to the examples drawn before it. Here the draw number `counter` of purpose
`stream` for the thing named by `key` is the output function of SplitMix64 (Steele, Lea and Flood 2014) at that place of
the sequence that starts at `key`; keys come from the same function, so two sequences meet nowhere in practice.
"""

from __future__ import annotations

import enum

import tensorflow as tf

_GAMMA = 0x9E3779B97F4A7C15
_STREAMS = 16


class Stream(enum.IntEnum):
    """What a number is drawn for; each has its own sequence."""

    ORDER = 0
    TARGET_LENGTH = 1
    SHORT = 2
    SPLIT = 3
    LABEL = 4
    OTHER_DOCUMENT = 5
    OTHER_START = 6
    TRIM_A = 7
    TRIM_B = 8
    PRIORITY = 9
    UNIT_LENGTH = 10
    BUDGET = 11
    REPLACEMENT = 12
    TOKEN = 13


def _constant(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint64)


def _xor_shifted(value: tf.Tensor, shift: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(value, tf.bitwise.right_shift(value, _constant(shift)))


def _mix(value: tf.Tensor) -> tf.Tensor:
    """Every bit of the result depends on every bit of `value`, uint64."""
    value = _xor_shifted(value, 30) * _constant(0xBF58476D1CE4E5B9)
    value = _xor_shifted(value, 27) * _constant(0x94D049BB133111EB)
    return _xor_shifted(value, 31)


def make_key(seed: int, *parts: tf.Tensor) -> tf.Tensor:
    """The key, uint64, of what the seed and the numbers of `parts` (broadcast against each other, >= 0) name."""
    key = _mix(_constant(seed % 2**64))
    for part in parts:
        key = _mix(key + _constant(_GAMMA) * (tf.cast(part, tf.uint64) + _constant(1)))
    return key


def random_bits(key: tf.Tensor, stream: Stream, counter: tf.Tensor | int = 0) -> tf.Tensor:
    """64 random bits, uint64, for each key and counter (>= 0, broadcast against each other)."""
    place = tf.cast(counter, tf.uint64) * _constant(_STREAMS) + _constant(int(stream) + 1)
    return _mix(key + _constant(_GAMMA) * place)


def random_integer(bits: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Bits to a number from 0 to `count` - 1, int32; `count` is int32 and at least 1."""
    high = tf.cast(tf.bitwise.right_shift(bits, _constant(33)), tf.int64)
    return tf.cast(high * tf.cast(count, tf.int64) // (1 << 31), tf.int32)


def random_uniform(bits: tf.Tensor) -> tf.Tensor:
    """Bits to a number from 0 up to, not including, 1, float64."""
    return tf.cast(tf.cast(tf.bitwise.right_shift(bits, _constant(11)), tf.int64), tf.float64) * 2.0**-53


def random_heads(key: tf.Tensor, stream: Stream, tosses: tf.Tensor, most: int) -> tf.Tensor:
    """Heads in `tosses` tosses of a coin, int32; no entry of `tosses` exceeds `most`."""
    heads = tf.zeros_like(tosses)
    for word in range(-(-most // 64)):
        unused = 64 - tf.clip_by_value(tosses - 64 * word, 0, 64)
        bits = random_bits(key, stream, word)
        # A shift by all 64 bits is undefined: shift by the half, twice.
        for part in (unused // 2, unused - unused // 2):
            bits = tf.bitwise.right_shift(bits, tf.cast(part, tf.uint64))
        heads += tf.cast(tf.raw_ops.PopulationCount(x=bits), tf.int32)
    return heads


def random_order(key: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """A permutation of 0 .. count - 1, int32, for one key."""
    bits = random_bits(key, Stream.ORDER, tf.range(tf.cast(count, tf.int64)))
    return tf.argsort(tf.cast(tf.bitwise.right_shift(bits, _constant(1)), tf.int64), stable=True)
