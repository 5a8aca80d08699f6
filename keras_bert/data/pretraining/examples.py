"""Which sentences make an example: the table of one shard's examples, for each objective.

The reference procedures walk through a document and begin each example where the one before ended, which random draws
decide. Here every draw belongs to the sentence that an example begins with, so the example that would begin at any
sentence, and where the next one would, are known at once for all sentences; the walk is then only the question which
sentences it comes by, answered in log(sentences) steps.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from .randomness import Stream, make_key, random_bits, random_integer, random_uniform
from .settings import PretrainingSettings
from .shard import ShardText

# Leading part of the keys of examples; `dataset` has others.
_EXAMPLE = 0


@dataclasses.dataclass(frozen=True)
class Examples:
    """The examples of one shard, in the order of its text. All int32 [E], but `keys`.

    Attributes:
        a_starts, a_lengths: tokens of the first text.
        b_starts, b_lengths: tokens of the second; length 0 without one.
        labels: 1 for a random second text (NSP) or for swapped texts (SOP), else 0.
        keys: uint64, what the example's masks are drawn with.
    """

    a_starts: tf.Tensor
    a_lengths: tf.Tensor
    b_starts: tf.Tensor
    b_lengths: tf.Tensor
    labels: tf.Tensor
    keys: tf.Tensor

    @property
    def lengths(self) -> tf.Tensor:
        """Tokens of each example with its special tokens, int32 [E]."""
        pair = tf.cast(self.b_lengths > 0, tf.int32)
        return self.a_lengths + self.b_lengths + 2 + pair

    def gather(self, indices: tf.Tensor) -> Examples:
        """The examples of `indices`, each field then of their shape."""
        return Examples(*(tf.gather(getattr(self, field.name), indices) for field in dataclasses.fields(self)))


def sentence_keys(seed: int, epoch: tf.Tensor, shard: tf.Tensor, text: ShardText) -> tf.Tensor:
    """The key, uint64 [S], of the example that begins at each sentence."""
    return make_key(seed, _EXAMPLE, epoch, shard, tf.range(tf.shape(text.starts)[0]))


def target_lengths(keys: tf.Tensor, settings: PretrainingSettings) -> tf.Tensor:
    """Tokens of text, int32 [S], that the example beginning at each sentence is to have: mostly all that fit."""
    full = tf.fill(tf.shape(keys), settings.text_length)
    short = 2 + random_integer(random_bits(keys, Stream.TARGET_LENGTH), full - 1)
    return tf.where(random_uniform(random_bits(keys, Stream.SHORT)) < settings.short_sequence_rate, short, full)


def reachable(following: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
    """Whether a walk from any sentence of `first` comes by each sentence, bool [S].

    Args:
        following: int32 [S], where the walk goes from each sentence: further on, S at the end.
        first: int32 [any number].
    """
    count = tf.shape(following)[0]
    jump = tf.concat([following, [count]], 0)
    visited = tf.scatter_nd(first[:, None], tf.ones_like(first), [count + 1]) > 0

    def grows(jump: tf.Tensor, visited: tf.Tensor) -> tf.Tensor:
        del visited
        return tf.reduce_any(jump < count)

    def double(jump: tf.Tensor, visited: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # All places fewer than 2^k steps away are known, and `jump` goes 2^k steps.
        places = tf.boolean_mask(jump, visited)
        visited = tf.tensor_scatter_nd_update(visited, places[:, None], tf.ones_like(places, tf.bool))
        return tf.gather(jump, jump), visited

    _, visited = tf.while_loop(grows, double, (jump, visited))
    return visited[:count]


def full_sentences(text: ShardText, keys: tf.Tensor, settings: PretrainingSettings) -> Examples:
    """Contiguous whole sentences up to the length: FULL-SENTENCES or DOC-SENTENCES (RoBERTa paper, section 4.2)."""
    count = tf.shape(text.starts)[0]
    index = tf.range(count)
    limit = text.starts + target_lengths(keys, settings)
    after = tf.searchsorted(text.ends, limit, side="right")
    last = tf.gather(text.document_ends, text.documents)
    if settings.cross_documents:
        last = tf.fill(tf.shape(last), count)
    after = tf.clip_by_value(after, index + 1, last)
    first = tf.zeros([1], tf.int32) if settings.cross_documents else text.document_starts
    chosen = tf.boolean_mask(index, reachable(after, first))
    starts = tf.gather(text.starts, chosen)
    nothing = tf.zeros_like(chosen)
    lengths = tf.gather(text.ends, tf.gather(after, chosen) - 1) - starts
    return Examples(starts, lengths, nothing, nothing, nothing, tf.gather(keys, chosen))
