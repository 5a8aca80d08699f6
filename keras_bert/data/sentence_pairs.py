"""Pairs of texts that mean the same, or how alike they are: a table to batches for `SentenceEncoder.fit`."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..config import EncoderConfig
from ..errors import DataError
from ..tokenizers import Tokenizer
from .batches import TokenizedTexts, batch_indices, laid_end_to_end, tokenize
from .classification import inputs_of
from .pipeline import generated_dataset
from .tables import Columns, read_rows


@dataclasses.dataclass(frozen=True)
class SentencePairs:
    """Pairs of texts of one file.

    Attributes:
        path: the file. texts, pairs: the two texts of each pair. lines: the line that each row begins on.
        scores: how alike the two are, -1 to 1; None where the file does not say, and each pair is one that belongs
            together.
    """

    path: str
    texts: list[str]
    pairs: list[str]
    scores: list[float] | None
    lines: list[int]

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, indices: Sequence[int]) -> SentencePairs:
        """The pairs of `indices`, in that order."""

        def pick(values: list) -> list:
            return [values[i] for i in indices]

        scores = pick(self.scores) if self.scores is not None else None
        return SentencePairs(self.path, pick(self.texts), pick(self.pairs), scores, pick(self.lines))


def read_sentence_pairs(
    path: str | os.PathLike[str], columns: Columns | None = None, *, max_score: float = 1.0
) -> SentencePairs:
    """Read a table of two text columns and, where there is one, a column of scores (`label`, or named by `columns`).

    Args:
        max_score: the score of two texts that mean the same (5 in STS-B); scores are divided by it.

    Raises:
        DataError: as `tables.read_rows`; no row, no second text, or a score that is not a number from -`max_score` to
            `max_score`.
    """
    texts, pairs, lines, scores = [], [], [], []
    labelled = bool(columns and columns.label)
    for row in read_rows(path, columns, labelled=labelled):
        where = f"{path}, line {row.line}"
        if row.pair is None:
            raise DataError(f"{where}: expected two columns of text, got one")
        if row.label is not None:
            scores.append(_score(row.label, max_score, where))
        texts.append(row.text)
        pairs.append(row.pair)
        lines.append(row.line)
    if not texts:
        raise DataError(f"{path} holds no pairs")
    return SentencePairs(os.fspath(path), texts, pairs, scores or None, lines)


def _score(text: str, max_score: float, where: str) -> float:
    try:
        value = float(text) / max_score
    except ValueError:
        value = math.nan
    if not -1 <= value <= 1:
        raise DataError(f"{where}: expected a score from {-max_score:g} to {max_score:g}, got {text!r}")
    return value


def interleaved(first: TokenizedTexts, second: TokenizedTexts) -> TokenizedTexts:
    """Row 2i is text i of `first`, row 2i + 1 that of `second`."""

    def rows() -> Iterator[tuple[Any, Any]]:
        for index in range(len(first)):
            for side in (first, second):
                part = slice(side.ends[index - 1] if index else 0, side.ends[index])
                yield side.token_ids[part], side.segment_ids[part]

    return dataclasses.replace(laid_end_to_end(rows()), truncated=first.truncated + second.truncated)


def paired_dataset(
    texts: TokenizedTexts,
    scores: Sequence[float] | None,
    config: EncoderConfig,
    *,
    batch_size: int,
    shuffle: bool,
    seed: int = 0,
    first_epoch: int = 0,
) -> Any:
    """A `tf.data.Dataset` of batches of pairs: rows 2i and 2i + 1 of the features, int32 [2 * batch, length], are the
    two texts of a pair, both their targets, float32 [2 * batch], its score (1 where there are none).

    Args:
        texts: `interleaved` texts. batch_size: in pairs.
        first_epoch: number of the epoch that the first pass is.
    """
    import tensorflow as tf

    values = np.ones(len(texts) // 2, "float32") if scores is None else np.asarray(scores, "float32")
    longer = texts.lengths.reshape(-1, 2).max(-1)
    epochs = itertools.count(first_epoch)

    def batches() -> Iterator[Any]:
        for indices in batch_indices(longer, batch_size, shuffle=shuffle, seed=seed, epoch=next(epochs)):
            rows = np.stack([2 * indices, 2 * indices + 1], axis=-1).reshape(-1)
            yield texts.features(rows, config), np.repeat(values[indices], 2)

    names = ("token_ids", "padding_mask", *(("segment_ids",) if config.uses_segments else ()))
    row = tf.TensorSpec((None, None), tf.int32)
    signature = (dict.fromkeys(names, row), tf.TensorSpec((None,), tf.float32))
    return generated_dataset(batches, signature, -(-len(longer) // batch_size))


def sentence_pairs(
    data: str | os.PathLike[str] | SentencePairs,
    tokenizer: Tokenizer,
    *,
    batch_size: int = 32,
    max_length: int = 128,
    shuffle: bool = True,
    seed: int = 0,
    columns: Columns | None = None,
    config: EncoderConfig | None = None,
) -> Any:
    """A `tf.data.Dataset` of pairs for `SentenceEncoder.fit` with a loss of `keras_bert.training`; see
    `paired_dataset`.

    Args:
        data: a TSV, CSV or JSON-lines file, or pairs read before.
        batch_size: in pairs; with the contrastive loss the other pairs of a batch are what a pair is told from.
        max_length: longer texts are cut to this many tokens.
        config: of the encoder, for inputs other than BERT's; None derives them from the tokenizer.

    Raises:
        DataError: a bad row; the message names file and line.
    """
    if not isinstance(data, SentencePairs):
        data = read_sentence_pairs(data, columns)
    config = config or inputs_of(tokenizer)
    limit = min(max_length, config.max_positions)
    texts = interleaved(*(tokenize(tokenizer, side, max_length=limit) for side in (data.texts, data.pairs)))
    return paired_dataset(texts, data.scores, config, batch_size=batch_size, shuffle=shuffle, seed=seed)
