"""Classification and regression data: a table of texts to batches for `fit`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..config import EncoderConfig
from ..errors import DataError
from ..tokenizers import Tokenizer
from .batches import batched_dataset, tokenize
from .tables import Columns, read_rows


@dataclasses.dataclass(frozen=True)
class LabelledTexts:
    """Labelled texts of one file.

    Attributes:
        path: the file. texts, pairs: the texts; pairs is None where the file has no second text.
        labels: as written. lines: the line that each row begins on.
    """

    path: str
    texts: list[str]
    pairs: list[str] | None
    labels: list[str]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.texts)

    def label_names(self) -> list[str]:
        """The labels that occur, sorted; numbers by value."""
        names = set(self.labels)
        number = all(name.lstrip("-").isdigit() for name in names)
        return sorted(names, key=int if number else str)

    def targets(self, labels: Sequence[str], problem_type: str = "single_label_classification") -> np.ndarray:
        """Class ids int32 [texts], or values float32 [texts, 1] for regression.

        Raises:
            DataError: a label that is not one of `labels`, or a value that is not a finite number; with its line.
        """
        if problem_type == "regression":
            return np.array([[self._number(i)] for i in range(len(self))], "float32")
        ids = {label: i for i, label in enumerate(labels)}
        for label, line in zip(self.labels, self.lines, strict=True):
            if label not in ids:
                known = ", ".join(list(ids)[:8]) + (", ..." if len(ids) > 8 else "")
                raise DataError(f"{self.path}, line {line}: unknown label {label!r}; the model's labels are {known}")
        return np.array([ids[label] for label in self.labels], "int32")

    def _number(self, index: int) -> float:
        try:
            value = float(self.labels[index])
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise DataError(
                f"{self.path}, line {self.lines[index]}: expected a finite number, got {self.labels[index]!r}"
            )
        return value

    def subset(self, indices: Sequence[int]) -> LabelledTexts:
        """The rows of `indices`, in that order."""

        def pick(values: list) -> list:
            return [values[i] for i in indices]

        pairs = pick(self.pairs) if self.pairs is not None else None
        return LabelledTexts(self.path, pick(self.texts), pairs, pick(self.labels), pick(self.lines))


def read_labelled_texts(path: str | os.PathLike[str], columns: Columns | None = None) -> LabelledTexts:
    """Read a table of labelled texts; see `tables.read_rows` for formats and errors.

    Raises:
        DataError: also when there is no row at all.
    """
    rows = list(read_rows(path, columns))
    if not rows:
        raise DataError(f"{path} holds no examples")
    pairs = [row.pair or "" for row in rows] if rows[0].pair is not None else None
    labels = [row.label or "" for row in rows]
    return LabelledTexts(os.fspath(path), [row.text for row in rows], pairs, labels, [row.line for row in rows])


def split_labelled_texts(data: LabelledTexts, fraction: float, seed: int) -> tuple[LabelledTexts, LabelledTexts]:
    """Two parts, the second with about `fraction` of each label's rows (at least one row in all), drawn from `seed`."""
    generator = np.random.default_rng(seed)
    labels = np.array(data.labels)
    second: list[int] = []
    for label in data.label_names():
        rows = generator.permutation(np.flatnonzero(labels == label))
        second += rows[: round(len(rows) * fraction)].tolist()
    second = sorted(second) or [int(generator.integers(len(data)))]
    first = sorted(set(range(len(data))) - set(second))
    return data.subset(first), data.subset(second)


def classification(
    data: str | os.PathLike[str] | LabelledTexts,
    tokenizer: Tokenizer,
    *,
    batch_size: int = 32,
    labels: Sequence[str] | None = None,
    problem_type: str = "single_label_classification",
    max_length: int = 128,
    shuffle: bool = True,
    seed: int = 0,
    columns: Columns | None = None,
    config: EncoderConfig | None = None,
) -> Any:
    """A `tf.data.Dataset` of length-bucketed batches (features, targets) for `fit` or `evaluate`.

    Args:
        data: a TSV, CSV or JSON-lines file, or texts read before.
        labels: their order; None takes those that occur, sorted. Give the model's for evaluation.
        max_length: longer texts are cut to this many tokens.
        shuffle: a new order each epoch, a function of `seed` and the epoch's number; False sorts by length.
        config: of the encoder, for inputs other than BERT's; None derives them from the tokenizer.

    Raises:
        DataError: a bad row or an unknown label; the message names file and line.
    """
    if not isinstance(data, LabelledTexts):
        data = read_labelled_texts(data, columns)
    config = config or inputs_of(tokenizer)
    texts = tokenize(tokenizer, data.texts, data.pairs, max_length=min(max_length, config.max_positions))
    targets = data.targets(labels or data.label_names(), problem_type)
    return batched_dataset(texts, targets, config, batch_size=batch_size, shuffle=shuffle, seed=seed)


def inputs_of(tokenizer: Tokenizer) -> EncoderConfig:
    """What a tokenizer's family takes as inputs, as far as batches need it."""
    return EncoderConfig(
        family=tokenizer.family,
        vocab_size=tokenizer.vocab_size,
        num_segments=2 if tokenizer.family in ("bert", "albert") else 0,
        pad_token_id=tokenizer.pad_id,
        max_positions=tokenizer.model_max_length or 512,
    )
