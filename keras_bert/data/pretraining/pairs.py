"""Examples of two texts: next-sentence prediction as BERT made it, sentence order as ALBERT did.

After `create_instances_from_document` in google-research/bert and google-research/albert, with three differences: the
length of a short example is drawn for each example, not for a whole document (which may be a novel); a chunk takes a
second sentence where its document has one, and a single last sentence is cut in two for a true pair, so that half of
the pairs are true; the random text never comes from the same document (BERT tries ten times).
"""

from __future__ import annotations

import tensorflow as tf

from .examples import Examples, reachable, target_lengths
from .randomness import Stream, random_bits, random_heads, random_integer, random_uniform
from .settings import PretrainingSettings
from .shard import ShardText


def sentence_pairs(text: ShardText, keys: tf.Tensor, settings: PretrainingSettings) -> Examples:
    """The examples of "nsp" or "sop"; for "nsp" the shard must hold at least two documents."""
    nsp = settings.objective == "nsp"
    index = tf.range(tf.shape(text.starts)[0])
    targets = target_lengths(keys, settings)
    last = tf.gather(text.document_ends, text.documents)
    after = _first_reaching(text, text.starts + targets, tf.minimum(index + 2, last), last)
    chunk_ends = tf.gather(text.ends, after - 1)

    # Where the second text of a true pair begins: at a sentence, or inside the only one.
    sentences = after - index
    split = index + 1 + random_integer(random_bits(keys, Stream.SPLIT), tf.maximum(sentences - 1, 1))
    length = chunk_ends - text.starts
    inside = text.starts + 1 + random_integer(random_bits(keys, Stream.SPLIT), tf.maximum(length - 1, 1))
    alone = sentences == 1
    middles = tf.where(alone, inside, tf.gather(text.starts, tf.minimum(split, after - 1)))
    label = random_uniform(random_bits(keys, Stream.LABEL)) < 0.5
    if nsp:
        # A text of one token cannot be cut in two.
        label |= length == 1
        # Sentences that the random text took the place of are read again.
        following = tf.where(label & ~alone, split, after)
        usable = tf.ones_like(label)
    else:
        following = after
        usable = length > 1
    chosen = tf.boolean_mask(index, usable & reachable(following, text.document_starts))

    def pick(values: tf.Tensor) -> tf.Tensor:
        return tf.gather(values, chosen)

    keys, label, starts, middles, ends = (pick(v) for v in (keys, label, text.starts, middles, chunk_ends))
    if nsp:
        a_ends = tf.where(label & pick(alone), ends, middles)
        other_starts, other_ends = _random_texts(text, keys, pick(text.documents), pick(targets) - (a_ends - starts))
        a, b = (starts, a_ends), (tf.where(label, other_starts, middles), tf.where(label, other_ends, ends))
    else:
        a = tf.where(label, middles, starts), tf.where(label, ends, middles)
        b = tf.where(label, starts, middles), tf.where(label, middles, ends)
    return _trimmed(a, b, tf.cast(label, tf.int32), keys, settings.text_length)


def _first_reaching(text: ShardText, places: tf.Tensor, least: tf.Tensor, most: tf.Tensor) -> tf.Tensor:
    """One past the first sentence that ends at or after each of `places` (tokens), within the bounds."""
    return tf.clip_by_value(tf.searchsorted(text.ends, places, side="left") + 1, least, most)


def _random_texts(
    text: ShardText, keys: tf.Tensor, documents: tf.Tensor, targets: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Starts and ends, in tokens, of sentences of another document that reach the target lengths where it can."""
    others = tf.shape(text.document_starts)[0] - 1
    other = random_integer(random_bits(keys, Stream.OTHER_DOCUMENT), others)
    other += tf.cast(other >= documents, tf.int32)
    first, last = tf.gather(text.document_starts, other), tf.gather(text.document_ends, other)
    begin = first + random_integer(random_bits(keys, Stream.OTHER_START), last - first)
    starts = tf.gather(text.starts, begin)
    after = _first_reaching(text, starts + targets, begin + 1, last)
    return starts, tf.gather(text.ends, after - 1)


def _trimmed(
    a: tuple[tf.Tensor, tf.Tensor], b: tuple[tf.Tensor, tf.Tensor], labels: tf.Tensor, keys: tf.Tensor, most: int
) -> Examples:
    """Pairs cut to `most` tokens as BERT's `truncate_seq_pair` does, one token at a time.

    It takes each token from the longer text (the second of two alike), from its front or back with equal chances.
    """
    a_lengths, b_lengths = a[1] - a[0], b[1] - b[0]
    excess = tf.maximum(a_lengths + b_lengths - most, 0)
    # Taking from the longer one levels the two; what is left to take then alternates, beginning with the second.
    level_a = tf.minimum(tf.maximum(a_lengths - b_lengths, 0), excess)
    level_b = tf.minimum(tf.maximum(b_lengths - a_lengths, 0), excess)
    rest = excess - level_a - level_b
    take_a, take_b = level_a + rest // 2, level_b + rest - rest // 2
    # Sentences are at most `most` long, and no chunk is longer than two times that.
    front_a = random_heads(keys, Stream.TRIM_A, take_a, 2 * most)
    front_b = random_heads(keys, Stream.TRIM_B, take_b, 2 * most)
    return Examples(a[0] + front_a, a_lengths - take_a, b[0] + front_b, b_lengths - take_b, labels, keys)
