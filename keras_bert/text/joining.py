"""Ragged ids cut, joined with special tokens and padded, in TensorFlow ops; the host's rules (`tokenizers.joining`)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from ..errors import TokenizerError
from ..tokenizers.joining import TemplatePart


def join_and_pad(
    template: Sequence[TemplatePart],
    sequences: Sequence[tf.RaggedTensor],
    *,
    pad_id: int,
    max_length: int | None,
    length: int | None,
) -> dict[str, tf.Tensor]:
    """One or two texts a row as model inputs.

    Args:
        template: the order of texts and special tokens.
        sequences: int32 [batch, tokens] ragged, without special tokens.
        max_length: most tokens of a row; None cuts nothing.
        length: tokens of every row; None, those of the longest.

    Returns:
        `token_ids`, `padding_mask`, `segment_ids`: int32 [batch, length].

    Raises:
        TokenizerError: `max_length` leaves no room for the special tokens.
    """
    if max_length is not None:
        num_special = sum(part.sequence is None for part in template)
        if max_length < num_special:
            raise TokenizerError(f"max_length {max_length} leaves no room for the {num_special} special tokens")
        lengths = [sequence.row_lengths() for sequence in sequences]
        kept = kept_lengths(lengths, max_length - num_special)
        sequences = [_first(sequence, count) for sequence, count in zip(sequences, kept, strict=True)]
    rows = sequences[0].nrows()
    ids, segments = [], []
    for part in template:
        if part.sequence is None:
            special = tf.fill([rows, 1], tf.constant(part.token_id, tf.int32))
            added = tf.RaggedTensor.from_tensor(special)
        else:
            added = sequences[part.sequence]
        ids.append(added)
        segments.append(added.with_flat_values(tf.fill(tf.shape(added.flat_values), part.segment_id)))
    token_ids = tf.concat(ids, axis=1)
    mask = token_ids.with_flat_values(tf.ones_like(token_ids.flat_values))
    shape = [None, length]
    return {
        "token_ids": token_ids.to_tensor(pad_id, shape=shape),
        "padding_mask": mask.to_tensor(0, shape=shape),
        "segment_ids": tf.concat(segments, axis=1).to_tensor(0, shape=shape),
    }


def kept_lengths(lengths: Sequence[tf.Tensor], budget: int) -> list[tf.Tensor]:
    """How many tokens of each text stay, `longest_first` (the host's `joining.kept_lengths`).

    Args:
        lengths: int64 [batch], tokens of the one text or of each of the two.
        budget: most tokens of a row, special ones left out.
    """
    if len(lengths) == 1:
        return [tf.minimum(lengths[0], budget)]
    first, second = lengths
    short, long = tf.minimum(first, second), tf.maximum(first, second)
    long = tf.minimum(long, tf.maximum(short, budget - short))
    too_long = short + long > budget
    half = tf.constant(budget // 2, short.dtype)
    short, long = tf.where(too_long, half, short), tf.where(too_long, budget - half, long)
    return [tf.where(first > second, long, short), tf.where(first > second, short, long)]


def _first(sequence: tf.RaggedTensor, count: tf.Tensor) -> tf.RaggedTensor:
    """The first `count` (int64 [batch]) entries of each row."""
    places = tf.ragged.range(sequence.row_lengths())
    stays = places.flat_values < tf.repeat(count, sequence.row_lengths())
    return tf.ragged.boolean_mask(sequence, places.with_flat_values(stays))
