"""Masked-language-model targets: which tokens to hide and what to put in their place (BERT paper, section 3.1)."""

from __future__ import annotations

import tensorflow as tf

from .layout import Layout
from .randomness import Stream, random_bits, random_integer, random_uniform
from .settings import PretrainingSettings
from .units import unit_ids, word_lengths
from .vocabulary import Vocabulary

MASK_SHARE, RANDOM_SHARE = 0.8, 0.1
# Sort keys: seven bits for the example's number in its row, 56 for the priority.
_PRIORITY_BITS = 56


def mask_tokens(
    token_ids: tf.Tensor,
    begins: tf.Tensor,
    keys: tf.Tensor,
    layout: Layout,
    settings: PretrainingSettings,
    vocabulary: Vocabulary,
) -> dict[str, tf.Tensor]:
    """Hide tokens of each example; what happens to one example depends on its key and tokens alone.

    An example of n tokens, special ones counted, has mask_rate * n masked, rounded up or down at random so that the
    mean is exact, at least 1 and at most max_predictions; no more than its whole words allow.

    Args:
        token_ids: int32 [rows, length]. begins: bool [rows, length], marks of word starts.
        keys: uint64 [rows, C], of the examples of `layout`.

    Returns:
        `token_ids` with 80% of the chosen tokens replaced by the mask token, 10% by a random one, 10% kept (in spans,
        all tokens of one alike); `masked_positions`, `masked_targets` (int32) and `masked_weights` (float32)
        [rows, predictions_per_row], positions ascending, 0 where unused.
    """
    special = tf.gather(tf.constant(vocabulary.is_special), token_ids)
    # A word that lost its first token to trimming begins where it now begins.
    after_special = tf.pad(special[:, :-1], [[0, 0], [1, 0]], constant_values=True)
    begins = begins | special | after_special
    if settings.masking == "token":
        begins = tf.ones_like(begins)
    units = unit_ids(settings.masking, layout, begins, special, keys)
    positions, used = _chosen(units, begins, special, keys, layout, settings)
    targets = tf.gather(token_ids, positions, batch_dims=1)
    hidden = _replaced(targets, positions, units, keys, layout, settings, vocabulary)
    # Unused predictions point at place 0, the classification token, and write it back.
    hidden = tf.where(used, hidden, targets)
    rows = tf.broadcast_to(tf.range(tf.shape(positions)[0])[:, None], tf.shape(positions))
    return {
        "token_ids": tf.tensor_scatter_nd_update(token_ids, tf.stack([rows, positions], -1), hidden),
        "masked_positions": positions,
        "masked_targets": tf.where(used, targets, 0),
        "masked_weights": tf.cast(used, tf.float32),
    }


def prediction_counts(keys: tf.Tensor, lengths: tf.Tensor, settings: PretrainingSettings) -> tf.Tensor:
    """Tokens to mask in each example, int32 of the shape of `lengths`; 0 for an empty one."""
    exact = settings.mask_rate * tf.cast(lengths, tf.float64)
    rounded = tf.cast(tf.floor(exact + random_uniform(random_bits(keys, Stream.BUDGET))), tf.int32)
    return tf.where(lengths > 0, tf.clip_by_value(rounded, 1, settings.max_predictions), 0)


def _chosen(
    units: tf.Tensor,
    begins: tf.Tensor,
    special: tf.Tensor,
    keys: tf.Tensor,
    layout: Layout,
    settings: PretrainingSettings,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Positions int32 [rows, P] to mask, ascending, and which of them are used, bool [rows, P].

    Units come in random order, the words of each in reading order; a word that no longer fits is passed over, as in
    BERT's `create_masked_lm_predictions`.
    """
    bits = random_bits(layout.spread(keys), Stream.PRIORITY, units)
    priority = tf.cast(tf.bitwise.right_shift(bits, tf.constant(65 - _PRIORITY_BITS, tf.uint64)), tf.int64)
    candidates = layout.real & ~special
    # Examples keep their places, so that `layout` holds for the sorted row too; what cannot be masked goes last.
    priority = tf.where(candidates, priority, 1 << (_PRIORITY_BITS - 1))
    order = tf.argsort(tf.cast(layout.slot, tf.int64) * (1 << _PRIORITY_BITS) + priority, axis=1, stable=True)
    sizes = tf.where(candidates, word_lengths(begins), 0)
    sizes, first = tf.gather(sizes, order, batch_dims=1), tf.gather(begins, order, batch_dims=1)
    taken = _taken(sizes, first, prediction_counts(keys, layout.lengths, settings), layout)
    last_first = tf.where(taken, layout.length - order, 0)
    places, _ = tf.math.top_k(last_first, settings.predictions_per_row)
    used = places > 0
    return tf.where(used, layout.length - places, 0), used


def _taken(sizes: tf.Tensor, first: tf.Tensor, counts: tf.Tensor, layout: Layout) -> tf.Tensor:
    """Which tokens the sequential choice takes, bool [rows, length]: word by word, each if it still fits.

    Args:
        sizes: int32 [rows, length], tokens of the word at each place, 0 where nothing can be taken.
        first: bool [rows, length], the first token of each word. counts: int32 [rows, C], tokens to take.
    """

    def any_open(open_: tf.Tensor, taken: tf.Tensor, left: tf.Tensor) -> tf.Tensor:
        del taken, left
        return tf.reduce_any(open_)

    def take_more(open_: tf.Tensor, taken: tf.Tensor, left: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # What does not fit now never will. Of the rest, all words up to the first that overflows are taken at once.
        room = layout.spread(left)
        open_ &= sizes <= room
        sums = layout.running(tf.where(open_ & first, sizes, 0))
        now = open_ & (sums <= room)
        left -= layout.totals(tf.where(now & first, sizes, 0))
        return open_ & ~now, taken | now, left

    start = (sizes > 0, tf.zeros_like(first), counts)
    return tf.while_loop(any_open, take_more, start)[1]


def _replaced(
    targets: tf.Tensor,
    positions: tf.Tensor,
    units: tf.Tensor,
    keys: tf.Tensor,
    layout: Layout,
    settings: PretrainingSettings,
    vocabulary: Vocabulary,
) -> tf.Tensor:
    """What stands in the place of each target, int32 [rows, P]."""
    keys = layout.at(keys, positions)
    places = tf.gather(layout.place, positions, batch_dims=1)
    # SpanBERT replaces a span as a whole.
    together = tf.gather(units, positions, batch_dims=1) if settings.masking == "span" else places
    choice = random_uniform(random_bits(keys, Stream.REPLACEMENT, together))
    ordinary = tf.constant(vocabulary.ordinary_ids)
    drawn = random_integer(random_bits(keys, Stream.TOKEN, places), tf.size(ordinary))
    random = tf.gather(ordinary, drawn)
    return tf.where(
        choice < MASK_SHARE, vocabulary.mask_id, tf.where(choice < MASK_SHARE + RANDOM_SHARE, random, targets)
    )
