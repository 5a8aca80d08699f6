"""Tokenised examples and their batches: texts of like length together, the order a function of seed and epoch."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..config import IGNORED_TARGET, EncoderConfig
from ..tokenizers import Tokenizer
from .pipeline import generated_dataset

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
        features = {
            "token_ids": self.padded(self.token_ids, indices, longest, config.pad_token_id),
            "padding_mask": (np.arange(longest) < lengths[:, None]).astype("int32"),
        }
        if config.uses_segments:
            features["segment_ids"] = self.padded(self.segment_ids, indices, longest, 0)
        return features

    def padded(self, values: np.ndarray, indices: np.ndarray, length: int, fill: int) -> np.ndarray:
        """One value a token, laid end to end as the texts are, as rows int32 [batch, length] filled up with `fill`."""
        rows = np.full((len(indices), length), fill, "int32")
        for row, index in enumerate(indices):
            part = values[self.ends[index - 1] if index else 0 : self.ends[index]]
            rows[row, : len(part)] = part
        return rows


@dataclasses.dataclass(frozen=True)
class TokenTargets:
    """One class a token of `TokenizedTexts`, int32 [tokens]; `IGNORED_TARGET` where none is asked for."""

    values: np.ndarray


def tokenize(
    tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None = None, *, max_length: int
) -> TokenizedTexts:
    """Tokenise texts or pairs, on all cores, chunk by chunk; longer ones are cut to `max_length` tokens."""
    truncated = 0

    def rows() -> Iterator[tuple[Sequence[int], Sequence[int]]]:
        nonlocal truncated
        for start in range(0, len(texts), _CHUNK):
            part = slice(start, start + _CHUNK)
            for encoding in tokenizer.encode_batch(texts[part], pairs[part] if pairs else None, max_length=max_length):
                truncated += encoding.truncated
                yield encoding.token_ids, encoding.segment_ids

    return dataclasses.replace(laid_end_to_end(rows()), truncated=truncated)


def laid_end_to_end(rows: Iterable[tuple[Sequence[int], Sequence[int]]]) -> TokenizedTexts:
    """Rows of (token ids, segment ids), each read once."""
    token_ids, segment_ids, lengths = [], [], []
    for tokens, segments in rows:
        token_ids.append(np.asarray(tokens, "int32"))
        segment_ids.append(np.asarray(segments, "int8"))
        lengths.append(len(tokens))
    join = np.concatenate if token_ids else lambda _: np.zeros(0, "int32")
    return TokenizedTexts(join(token_ids), join(segment_ids), np.cumsum(lengths, dtype="int64"), 0)


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
    texts: TokenizedTexts,
    targets: Any,
    config: EncoderConfig,
    *,
    batch_size: int,
    shuffle: bool,
    seed: int = 0,
    first_epoch: int = 0,
) -> Any:
    """A `tf.data.Dataset` of (features, targets) batches; each pass over it is the next epoch, in its own order.

    Args:
        targets: array [texts, ...], one row a text; or such arrays by the name of the model's output; or
            `TokenTargets`, which become rows int32 [batch, length] as long as the features.
        first_epoch: number of the epoch that the first pass is, for training that goes on.
    """
    import tensorflow as tf

    if not isinstance(targets, TokenTargets | Mapping):
        targets = np.asarray(targets)
    epochs = itertools.count(first_epoch)

    def batches() -> Iterator[Any]:
        for indices in batch_indices(texts.lengths, batch_size, shuffle=shuffle, seed=seed, epoch=next(epochs)):
            features = texts.features(indices, config)
            if isinstance(targets, TokenTargets):
                length = features["token_ids"].shape[1]
                yield features, texts.padded(targets.values, indices, length, IGNORED_TARGET)
            else:
                yield features, tf.nest.map_structure(lambda values, chosen=indices: values[chosen], targets)

    def spec(values: np.ndarray) -> Any:
        return tf.TensorSpec((None, *values.shape[1:]), tf.as_dtype(values.dtype))

    names = ("token_ids", "padding_mask", *(("segment_ids",) if config.uses_segments else ()))
    row = tf.TensorSpec((None, None), tf.int32)
    target = row if isinstance(targets, TokenTargets) else tf.nest.map_structure(spec, targets)
    return generated_dataset(batches, (dict.fromkeys(names, row), target), -(-len(texts) // batch_size))
