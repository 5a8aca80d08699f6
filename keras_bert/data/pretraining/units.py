"""What is masked as one: tokens, words, n-grams of words, spans of words."""

from __future__ import annotations

import itertools

import tensorflow as tf

from .layout import Layout
from .randomness import Stream, random_bits, random_uniform

# ALBERT paper, section 4.1: p(n) ~ 1/n up to 3 words.
NGRAM_LENGTHS = tuple(1 / n for n in range(1, 4))
# SpanBERT paper, section 3.1: Geo(0.2), cut off at 10 words.
SPAN_LENGTHS = tuple(0.2 * 0.8 ** (n - 1) for n in range(1, 11))
_LENGTHS = {"ngram": NGRAM_LENGTHS, "span": SPAN_LENGTHS}


def word_lengths(begins: tf.Tensor) -> tf.Tensor:
    """Tokens of the word that each place belongs to, int32 [rows, length].

    Args:
        begins: bool [rows, length], whether a word begins there; so it does at the first place of each row.
    """
    number = tf.cumsum(tf.cast(tf.reshape(begins, [-1]), tf.int32)) - 1
    sizes = tf.math.bincount(number, minlength=tf.size(number))
    return tf.reshape(tf.gather(sizes, number), tf.shape(begins))


def unit_ids(masking: str, layout: Layout, begins: tf.Tensor, special: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """The number of the unit that each place belongs to, int32 [rows, length], different for units of one example.

    N-grams and spans tile an example: their lengths are drawn one after the other, so units do not overlap and each is
    as likely to be masked as any other. No unit reaches over a special token.

    Args:
        begins: bool [rows, length], whether a word begins there (special tokens count as words).
        special: bool [rows, length]. keys: uint64 [rows, C].
    """
    words = layout.running(tf.cast(begins, tf.int32)) - 1
    if masking not in _LENGTHS:
        return words
    lengths = _drawn_lengths(_LENGTHS[masking], layout, keys)
    # Unit k of an example ends before the word whose number is the sum of the lengths up to it. That is written down at
    # the example's place k, counted from the example's start in the row: so the ends of all examples ascend along a row
    # and one search serves them all.
    ends = layout.start + tf.minimum(layout.running(lengths), layout.spread(layout.lengths))
    ends = tf.where(layout.real, ends, layout.length)
    units = tf.searchsorted(ends, layout.start + words, side="right") - layout.start
    return units + layout.length * layout.running(tf.cast(special, tf.int32))


def _drawn_lengths(weights: tuple[float, ...], layout: Layout, keys: tf.Tensor) -> tf.Tensor:
    """A number of words for each place, int32 [rows, length], from 1 up with the odds of `weights`."""
    sums = list(itertools.accumulate(weights))
    uniform = random_uniform(random_bits(layout.spread(keys), Stream.UNIT_LENGTH, layout.place))
    return 1 + tf.raw_ops.Bucketize(input=uniform, boundaries=[part / sums[-1] for part in sums[:-1]])
