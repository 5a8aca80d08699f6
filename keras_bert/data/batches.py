"""Tokenised examples and their batches: texts of like length together, the order a function of seed and epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..config import EncoderConfig
from ..tokenizers import Tokenizer

_CHUNK = 2048
_POOL = 50


@dataclasses.dataclass(frozen=True)
class TokenizedTexts:
    """Texts as token ids, kept end to end: 5 bytes a token, whatever the lengths.

    Attributes:
        token_ids: int32 [tokens]. segment_ids: int8 [tokens].
        ends: int64 [texts], where each text ends.
        truncated: how many texts were cut.
    """

    token_ids: np.ndarray
    segment_ids: np.ndarray
    ends: np.ndarray
    truncated: int

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, int64 [texts]."""
        return np.diff(self.ends, prepend=0)

    def features(self, indices: np.ndarray, config: EncoderConfig, multiple_of: int = 8) -> dict[str, np.ndarray]:
        """The texts of `indices` as model inputs, int32 [batch, longest], padded to a multiple.

        Args:
            multiple_of: row lengths are rounded up to it, though never beyond the model's positions.
        """
        lengths = self.lengths[indices]
        longest = min(-(-int(lengths.max()) // multiple_of) * multiple_of, config.max_positions)
        shape = (len(indices), longest)
        token_ids = np.full(shape, config.pad_token_id, "int32")
        segment_ids, padding_mask = np.zeros(shape, "int32"), np.zeros(shape, "int32")
        for row, (index, length) in enumerate(zip(indices, lengths, strict=True)):
            end = self.ends[index]
            token_ids[row, :length] = self.token_ids[end - length : end]
            segment_ids[row, :length] = self.segment_ids[end - length : end]
            padding_mask[row, :length] = 1
        features = {"token_ids": token_ids, "padding_mask": padding_mask}
        return {**features, "segment_ids": segment_ids} if config.uses_segments else features


def tokenize(
    tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None = None, *, max_length: int
) -> TokenizedTexts:
    """Tokenise texts or pairs, on all cores, chunk by chunk; longer ones are cut to `max_length` tokens."""
    token_ids, segment_ids, lengths, truncated = [], [], [], 0
    for start in range(0, len(texts), _CHUNK):
        part = slice(start, start + _CHUNK)
        for encoding in tokenizer.encode_batch(texts[part], pairs[part] if pairs else None, max_length=max_length):
            token_ids.append(np.asarray(encoding.token_ids, "int32"))
            segment_ids.append(np.asarray(encoding.segment_ids, "int8"))
            lengths.append(len(encoding))
            truncated += encoding.truncated
    join = np.concatenate if token_ids else lambda _: np.zeros(0, "int32")
    return TokenizedTexts(join(token_ids), join(segment_ids), np.cumsum(lengths, dtype="int64"), truncated)


def batch_indices(
    lengths: np.ndarray, batch_size: int, *, shuffle: bool, seed: int = 0, epoch: int = 0
) -> Iterator[np.ndarray]:
    """Indices of each batch, texts of like length together.

    Shuffled: a permutation drawn from (seed, epoch) is cut into pools of 50 batches, each pool sorted by length and
    cut into batches, and the batches of all pools come in drawn order. Not shuffled: by length, longest first, so that
    a batch too large for the memory shows at once.
    """
    if not shuffle:
        order = np.argsort(-lengths, kind="stable")
        yield from (order[i : i + batch_size] for i in range(0, len(order), batch_size))
        return
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    pool = batch_size * _POOL
    order = np.concatenate(
        [p[np.argsort(lengths[p], kind="stable")] for p in np.split(order, range(pool, len(order), pool))]
    )
    starts = np.arange(0, len(order), batch_size)
    yield from (order[i : i + batch_size] for i in generator.permutation(starts))


def batched_dataset(
    texts: TokenizedTexts, targets: Any, config: EncoderConfig, *, batch_size: int, shuffle: bool, seed: int = 0
) -> Any:
    """A `tf.data.Dataset` of (features, targets) batches; each pass over it is the next epoch, in its own order.

    Args:
        targets: array [texts, ...], one row a text.
    """
    import tensorflow as tf

    targets = np.asarray(targets)
    epochs = iter(range(2**31))

    def batches() -> Iterator[Any]:
        for indices in batch_indices(texts.lengths, batch_size, shuffle=shuffle, seed=seed, epoch=next(epochs)):
            yield texts.features(indices, config), targets[indices]

    names = ("token_ids", "padding_mask", *(("segment_ids",) if config.uses_segments else ()))
    row = tf.TensorSpec((None, None), tf.int32)
    target = tf.TensorSpec((None, *targets.shape[1:]), tf.as_dtype(targets.dtype))
    dataset = tf.data.Dataset.from_generator(batches, output_signature=(dict.fromkeys(names, row), target))
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(-(-len(texts) // batch_size)))
    return dataset.prefetch(tf.data.AUTOTUNE)
