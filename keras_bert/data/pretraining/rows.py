"""From a table of examples to rows of masked tokens."""

from __future__ import annotations

import tensorflow as tf

from .examples import Examples
from .layout import Layout
from .masking import mask_tokens
from .settings import PretrainingSettings
from .shard import ShardText
from .vocabulary import Vocabulary


def make_rows(
    text: ShardText, examples: Examples, rows: tf.Tensor, settings: PretrainingSettings, vocabulary: Vocabulary
) -> dict[str, tf.Tensor]:
    """The features and targets of some rows; see `PretrainingData.dataset` for names, shapes and meanings.

    Args:
        rows: int32 [rows, examples_per_row], the examples of each row, -1 for none.
    """
    rows = tf.ensure_shape(rows, [None, settings.examples_per_row])
    filled = rows >= 0
    chosen = examples.gather(tf.maximum(rows, 0))
    layout = Layout(tf.where(filled, chosen.lengths, 0), settings.sequence_length)
    token_ids, begins, second = _tokens(text, chosen, layout, settings, vocabulary)
    features = mask_tokens(token_ids, begins, chosen.keys, layout, settings, vocabulary)
    features["padding_mask"] = tf.cast(layout.real, tf.int32)
    if vocabulary.segments:
        features["segment_ids"] = tf.cast(second, tf.int32)
    if settings.pairs:
        features["sentence_positions"] = tf.where(filled, layout.offsets, 0)
        features["sentence_targets"] = tf.where(filled, chosen.labels, 0)
        features["sentence_weights"] = tf.cast(filled, tf.float32)
    if settings.pack:
        features["sequence_ids"] = tf.where(layout.real, layout.slot + 1, 0)
        features["position_ids"] = tf.where(layout.real, layout.place, 0)
    return features


def _tokens(
    text: ShardText, chosen: Examples, layout: Layout, settings: PretrainingSettings, vocabulary: Vocabulary
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Token ids int32, marks of word starts bool, and places of the second text (with its separator) bool, [rows, L].

    An example is [CLS] A [SEP], or [CLS] A [SEP] B [SEP].
    """
    place = layout.place
    a_lengths = layout.spread(chosen.a_lengths)
    in_a = (place >= 1) & (place <= a_lengths)
    source = tf.where(in_a, layout.spread(chosen.a_starts) + place - 1, 0)
    in_text, second = in_a, tf.zeros_like(in_a)
    if settings.pairs:
        in_second = place - a_lengths - 2
        b_lengths = layout.spread(chosen.b_lengths)
        in_b = (in_second >= 0) & (in_second < b_lengths) & layout.real
        source = tf.where(in_b, layout.spread(chosen.b_starts) + in_second, source)
        in_text, second = in_a | in_b, (in_second >= 0) & layout.real
    in_text &= layout.real
    marked = tf.gather(text.tokens, tf.where(in_text, source, 0))
    added = tf.where(place == 0, vocabulary.cls_id, vocabulary.sep_id)
    added = tf.where(layout.real, added, vocabulary.pad_id)
    return tf.where(in_text, marked // 2, added), (marked % 2 == 1) | ~in_text, second
