"""One shard in memory: its tokens end to end, and where sentences and documents lie in them."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from ..shards import Shard
from .vocabulary import Vocabulary

# Opens the messages that `named_errors` turns into DataError; a full stop with a quotation mark ends them.
DAMAGED = "damaged shard:"
_LENGTH_BYTES = 4


@dataclasses.dataclass(frozen=True)
class ShardText:
    """The text of one shard. All tensors but `tokens` are int32.

    Attributes:
        tokens: int32 [T], 2 * id + 1 where a word begins, else 2 * id. A document is followed by one separator token
            (not after the last), which belongs to no sentence.
        starts, ends: [S], the tokens of each sentence.
        documents: [S], the document of each sentence.
        document_starts, document_ends: [D], the sentences of each document.
    """

    tokens: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor
    documents: tf.Tensor
    document_starts: tf.Tensor
    document_ends: tf.Tensor


def read_shard(
    path: tf.Tensor,
    documents: tf.Tensor,
    tokens: tf.Tensor,
    *,
    token_dtype: str,
    vocabulary: Vocabulary,
    longest_sentence: int,
) -> ShardText:
    """Read a shard in the graph.

    Args:
        path: string scalar. documents, tokens: int64 scalars, what the manifest says it holds.
        longest_sentence: longer ones are cut into pieces of like length.

    Raises:
        tf.errors.InvalidArgumentError: the file is damaged; the message names it.
    """
    dtype = tf.as_dtype(token_dtype)
    ids, lengths = read_records(path, documents)
    flat = tf.io.decode_raw(
        tf.strings.reduce_join(ids, separator=np.array(vocabulary.sep_id, dtype.as_numpy_dtype).tobytes()), dtype
    )
    flat = tf.cast(flat, tf.int32)
    sentence_lengths = tf.io.decode_raw(tf.strings.reduce_join(lengths), tf.int32)
    count = tf.shape(flat)[0] - tf.shape(ids)[0] + 1
    whole = tf.reduce_all(
        [
            tf.cast(count, tf.int64) == tokens,
            tf.reduce_sum(sentence_lengths) == count,
            tf.reduce_all(sentence_lengths > 0),
            tf.reduce_all(flat < len(vocabulary.is_special)),
        ]
    )
    message = _message(
        path,
        " expected ",
        tokens,
        f" tokens in whole sentences of ids below {len(vocabulary.is_special)}, found ",
        count,
    )
    with tf.control_dependencies([tf.debugging.Assert(whole, [message])]):
        sentence_lengths = tf.identity(sentence_lengths)

    sentences = tf.strings.length(lengths) // _LENGTH_BYTES
    sentence_documents = tf.repeat(tf.range(tf.shape(sentences)[0]), sentences)
    pieces = (sentence_lengths + longest_sentence - 1) // longest_sentence
    parent = tf.repeat(tf.range(tf.shape(pieces)[0]), pieces)
    piece = tf.range(tf.shape(parent)[0]) - tf.gather(tf.cumsum(pieces, exclusive=True), parent)
    pieces_of, length_of = tf.gather(pieces, parent), tf.gather(sentence_lengths, parent)
    documents_of = tf.gather(sentence_documents, parent)
    # The separator after each document shifts all that follows it.
    first = tf.gather(tf.cumsum(sentence_lengths, exclusive=True) + sentence_documents, parent)
    starts = first + length_of * piece // pieces_of
    ends = first + length_of * (piece + 1) // pieces_of
    document_counts = tf.math.bincount(documents_of, minlength=tf.shape(sentences)[0])
    document_ends = tf.cumsum(document_counts)
    return ShardText(
        tokens=_marked(flat, tf.boolean_mask(starts, piece == 0), vocabulary),
        starts=starts,
        ends=ends,
        documents=documents_of,
        document_starts=document_ends - document_counts,
        document_ends=document_ends,
    )


def read_records(path: tf.Tensor, documents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Token ids and sentence lengths of each document, as strings of bytes [D].

    Args, raises: as for `read_shard`.
    """
    # A record with a wrong checksum ends the file, and the count tells; the reader's own error does not name the file.
    records = tf.data.TFRecordDataset(path).ignore_errors()
    nothing = tf.data.Dataset.from_tensors(tf.constant(b""))
    serialized = nothing.concatenate(records).batch(documents + 2).get_single_element()[1:]
    found = tf.size(serialized, tf.int64)
    message = _message(
        path, " expected ", documents, " documents, found ", found, " whole: it was cut short or its bytes have changed"
    )
    with tf.control_dependencies([tf.debugging.Assert(found == documents, [message])]):
        serialized = tf.identity(serialized)
    parsed = tf.io.parse_example(
        serialized, {name: tf.io.FixedLenFeature([], tf.string) for name in ("token_ids", "sentence_lengths")}
    )
    return parsed["token_ids"], parsed["sentence_lengths"]


def _message(*parts: tf.Tensor | str) -> tf.Tensor:
    """Strings and numbers, one after the other, as `errors.named_errors` finds them."""
    words = [p if isinstance(p, str) or p.dtype == tf.string else tf.strings.as_string(p) for p in parts]
    return tf.strings.join([DAMAGED, " ", *words, "."])


def _marked(flat: tf.Tensor, sentence_starts: tf.Tensor, vocabulary: Vocabulary) -> tf.Tensor:
    """Ids with the mark of word starts, as `ShardText.tokens` holds them."""
    starts_word = tf.gather(tf.constant(vocabulary.starts_word), flat)
    starts_word = tf.tensor_scatter_nd_update(
        starts_word, sentence_starts[:, None], tf.ones_like(sentence_starts, tf.bool)
    )
    return 2 * flat + tf.cast(starts_word, tf.int32)


def shard_columns(folder: pathlib.Path, shards: tuple[Shard, ...]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Paths, documents and tokens of all shards, as `read_shard` takes one of each."""
    return (
        tf.constant([str(folder / shard.file) for shard in shards]),
        tf.constant([shard.documents for shard in shards], tf.int64),
        tf.constant([shard.tokens for shard in shards], tf.int64),
    )
