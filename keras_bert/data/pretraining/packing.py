"""Which examples share a row."""

from __future__ import annotations

import tensorflow as tf

# Examples that are packed among each other. More would fill rows no better to speak of; the work grows with it.
_GROUP = 256


def one_example_rows(order: tf.Tensor) -> tf.Tensor:
    """A row for each example of `order`, int32 [rows, 1]."""
    return order[:, None]


def packed_rows(order: tf.Tensor, lengths: tf.Tensor, capacity: int, most: int) -> tf.Tensor:
    """Rows of up to `most` examples that together have at most `capacity` tokens, int32 [rows, most]; -1 is none.

    Best fit decreasing among groups of 256 consecutive examples of `order`, all groups side by side: the longest
    example that is left goes into the fullest row that has room for it.

    Args:
        order: int32 [E], a permutation of the examples. lengths: int32 [E], tokens of example i, at most `capacity`.
    """
    count = tf.shape(order)[0]
    groups = -(-count // _GROUP)
    members = tf.reshape(tf.pad(order, [[0, groups * _GROUP - count]], constant_values=-1), [groups, _GROUP])
    sizes = tf.where(members >= 0, tf.gather(lengths, tf.maximum(members, 0)), 0)
    longest_first = tf.argsort(-sizes, axis=1, stable=True)
    members = tf.gather(members, longest_first, batch_dims=1)
    sizes = tf.gather(sizes, longest_first, batch_dims=1)
    bins = _bins(sizes, capacity, most)

    # Number the rows that hold anything, and the examples within each.
    rows_in_group = tf.reduce_max(bins, axis=1) + 1
    row = tf.reshape(bins + tf.cumsum(rows_in_group, exclusive=True)[:, None], [-1])
    member = tf.reshape(members, [-1])
    row, member = tf.boolean_mask(row, member >= 0), tf.boolean_mask(member, member >= 0)
    by_row = tf.argsort(row, stable=True)
    row, member = tf.gather(row, by_row), tf.gather(member, by_row)
    first = tf.searchsorted(row, row, side="left")
    slot = tf.range(tf.shape(row)[0]) - first
    empty = tf.fill([tf.reduce_sum(rows_in_group), most], -1)
    return tf.tensor_scatter_nd_update(empty, tf.stack([row, slot], 1), member)


def _bins(sizes: tf.Tensor, capacity: int, most: int) -> tf.Tensor:
    """The bin of each member, int32 [groups, members], from 0 in each group; sizes descend, 0 is no member (bin -1)."""
    groups = tf.shape(sizes)[0]
    # A bin's room, plus one more than any room for a bin not yet in use: the last choice, and the first unused one of
    # those (the least index among equals).
    unused = capacity + 1
    room = tf.fill([groups, _GROUP], unused)
    held = tf.zeros([groups, _GROUP], tf.int32)
    chosen = tf.TensorArray(tf.int32, _GROUP, element_shape=[None])

    def members_left(step: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return step < _GROUP

    def place(
        step: tf.Tensor, room: tf.Tensor, held: tf.Tensor, chosen: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.TensorArray]:
        size = tf.gather(sizes, step, axis=1)[:, None]
        fits = (room >= size) & (held < most)
        best = tf.argmin(tf.where(fits, room, capacity + 2), axis=1, output_type=tf.int32)
        here = (tf.range(_GROUP)[None, :] == best[:, None]) & (size > 0)
        room = tf.where(here, tf.minimum(room, capacity) - size, room)
        held += tf.cast(here, tf.int32)
        return step + 1, room, held, chosen.write(step, tf.where(size[:, 0] > 0, best, -1))

    chosen = tf.while_loop(members_left, place, (0, room, held, chosen))[3]
    return tf.transpose(chosen.stack())
