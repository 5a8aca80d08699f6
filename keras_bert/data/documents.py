"""Documents of any length: windows to batches for `DocumentClassifier.fit`."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..config import EncoderConfig
from ..errors import DataError
from ..tokenizers import Tokenizer
from .batches import TokenizedTexts, batch_indices, laid_end_to_end
from .classification import LabelledTexts, inputs_of, read_labelled_texts
from .pipeline import generated_dataset
from .tables import Columns
from .windows import Window, WindowMaker, bare_texts


def document_windows(
    tokenizer: Tokenizer, texts: Sequence[str], *, window_length: int, overlap: int
) -> Iterator[list[Window]]:
    """The windows of each text, one text tokenised at a time."""
    maker = WindowMaker(tokenizer, max_length=window_length, overlap=overlap)
    for text in texts:
        (bare,) = bare_texts(tokenizer, [text])
        yield maker.windows(bare.token_ids)


def refuse_pairs(data: LabelledTexts) -> None:
    """Raise DataError where texts to be read by windows come in pairs."""
    if data.pairs is not None:
        raise DataError(f"{data.path} holds pairs; only single texts are read by windows")


def spread(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` windows, evenly from the first to the last: their indices."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype("int64") if most > 1 else np.zeros(1, "int64")


class DocumentExamples:
    """Windows of documents, at most `max_windows` of each, for training.

    Attributes:
        windows: all of them as texts. ends: int64 [documents], where the windows of each document end.
        thinned: how many documents have more windows than are kept.
    """

    def __init__(
        self, tokenizer: Tokenizer, texts: Sequence[str], *, window_length: int, overlap: int, max_windows: int
    ) -> None:
        counts: list[int] = []
        self.thinned = 0

        def rows() -> Iterator[tuple[list[int], list[int]]]:
            for windows in document_windows(tokenizer, texts, window_length=window_length, overlap=overlap):
                kept = spread(len(windows), max_windows)
                self.thinned += len(kept) < len(windows)
                counts.append(len(kept))
                for index in kept:
                    yield windows[index].token_ids, windows[index].segment_ids

        self.windows: TokenizedTexts = laid_end_to_end(rows())
        self.ends = np.cumsum(counts, dtype="int64")

    def __len__(self) -> int:
        return len(self.ends)

    def features(self, indices: np.ndarray, config: EncoderConfig) -> dict[str, np.ndarray]:
        """Documents as model inputs, int32 [batch, windows, length]; windows that a document lacks are padding."""
        counts = np.diff(self.ends, prepend=0)[indices]
        held = np.arange(int(counts.max())) < counts[:, None]
        flat = np.concatenate([np.arange(self.ends[i] - n, self.ends[i]) for i, n in zip(indices, counts, strict=True)])
        features = self.windows.features(flat, config)
        filled = {}
        for name, values in features.items():
            fill = config.pad_token_id if name == "token_ids" else 0
            filled[name] = np.full((*held.shape, values.shape[1]), fill, "int32")
            filled[name][held] = values
        return filled

    def dataset(
        self, targets: np.ndarray, config: EncoderConfig, *, batch_size: int, shuffle: bool, seed: int, first_epoch: int
    ) -> Any:
        """A `tf.data.Dataset` of (features, targets) batches, documents of like numbers of windows together."""
        import tensorflow as tf

        counts = np.diff(self.ends, prepend=0)
        epochs = itertools.count(first_epoch)

        def batches() -> Iterator[Any]:
            for indices in batch_indices(counts, batch_size, shuffle=shuffle, seed=seed, epoch=next(epochs)):
                yield self.features(indices, config), targets[indices]

        names = ("token_ids", "padding_mask", *(("segment_ids",) if config.uses_segments else ()))
        row = tf.TensorSpec((None, None, None), tf.int32)
        target = tf.TensorSpec((None, *targets.shape[1:]), tf.as_dtype(targets.dtype))
        return generated_dataset(batches, (dict.fromkeys(names, row), target), -(-len(self) // batch_size))


def documents(
    data: str | os.PathLike[str] | LabelledTexts,
    tokenizer: Tokenizer,
    *,
    batch_size: int = 4,
    labels: Sequence[str] | None = None,
    problem_type: str = "single_label_classification",
    window_length: int = 128,
    overlap: int = 32,
    max_windows: int = 8,
    shuffle: bool = True,
    seed: int = 0,
    columns: Columns | None = None,
    config: EncoderConfig | None = None,
) -> Any:
    """A `tf.data.Dataset` for `DocumentClassifier.fit`; arguments as for `classification`, and

    Args:
        window_length, overlap: as the model's.
        max_windows: windows of a document to train on, spread evenly over it; predictions read all of them.

    Raises:
        DataError: also for pairs of texts.
    """
    if not isinstance(data, LabelledTexts):
        data = read_labelled_texts(data, columns, multi_label=problem_type == "multi_label_classification")
    refuse_pairs(data)
    config = config or inputs_of(tokenizer)
    examples = DocumentExamples(
        tokenizer, data.texts, window_length=window_length, overlap=overlap, max_windows=max_windows
    )
    targets = data.targets(labels or data.label_names(), problem_type)
    return examples.dataset(targets, config, batch_size=batch_size, shuffle=shuffle, seed=seed, first_epoch=0)
