"""Where examples lie in rows: what each place of a row belongs to, and sums over one example's part of it."""

from __future__ import annotations

import tensorflow as tf


class Layout:
    """Rows of `length` places, filled from the left with up to C examples each.

    Attributes:
        lengths: int32 [rows, C], tokens of each example, 0 where a row has fewer.
        offsets: int32 [rows, C], where each begins.
        real: bool [rows, length], False for padding.
        slot: int32 [rows, length], which of the row's examples a place belongs to; C for padding.
        place: int32 [rows, length], from 0 within the example.
    """

    def __init__(self, lengths: tf.Tensor, length: int) -> None:
        self.length = length
        self.examples = lengths.shape[1]
        self.lengths = lengths
        self.ends = tf.cumsum(lengths, axis=1)
        self.offsets = self.ends - lengths
        places = tf.range(length)[None, :]
        self.real = places < self.ends[:, -1:]
        passed = tf.reduce_sum(tf.cast(self.ends[:, :, None] <= places[:, None, :], tf.int32), axis=1)
        # Empty examples stand at the row's end, so no place is behind one of them and before a full one.
        self.slot = tf.where(self.real, passed, self.examples)
        self._slot = tf.minimum(self.slot, self.examples - 1)
        self.start = self.spread(self.offsets)
        self.place = places - self.start

    def spread(self, values: tf.Tensor) -> tf.Tensor:
        """One value an example, [rows, C], to every place of it: [rows, length], or [rows, 1] where C is 1."""
        if self.examples == 1:
            return values
        return tf.gather(values, self._slot, batch_dims=1)

    def at(self, values: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """One value an example to chosen places: [rows, C] and places of the rows [rows, P] to [rows, P]."""
        if self.examples == 1:
            return tf.broadcast_to(values, tf.shape(positions))
        return tf.gather(values, tf.gather(self._slot, positions, batch_dims=1), batch_dims=1)

    def running(self, values: tf.Tensor) -> tf.Tensor:
        """Sums of int32 [rows, length] from the first place of each example up to every place of it."""
        sums = tf.cumsum(values, axis=1)
        if self.examples == 1:
            return sums
        before = tf.gather(sums - values, tf.broadcast_to(self.start, tf.shape(sums)), batch_dims=1)
        return sums - before

    def totals(self, values: tf.Tensor) -> tf.Tensor:
        """Sums of int32 [rows, length] over each example, [rows, C]; what stands at padding must be 0."""
        if self.examples == 1:
            return tf.reduce_sum(values, axis=1, keepdims=True)
        sums = tf.pad(tf.cumsum(values, axis=1), [[0, 0], [1, 0]])
        return tf.gather(sums, self.ends, batch_dims=1) - tf.gather(sums, self.offsets, batch_dims=1)
