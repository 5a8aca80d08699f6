"""Classification and regression data: a table of texts to batches for `fit`."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..config import EncoderConfig
from ..errors import DataError
from ..tokenizers import Tokenizer
from .batches import batched_dataset, tokenize
from .labels import SEPARATOR, class_ids, multi_hot, sorted_labels, split_labels, unknown_label
from .tables import Columns, read_rows


@dataclasses.dataclass(frozen=True)
class LabelledTexts:
    """Labelled texts of one file.

    Attributes:
        path: the file. texts, pairs: the texts; pairs is None where the file has no second text.
        labels: as written. lines: the line that each row begins on.
        label_sets: the labels of each text where a text may have several or none; None where each has one.
    """

    path: str
    texts: list[str]
    pairs: list[str] | None
    labels: list[str]
    lines: list[int]
    label_sets: list[tuple[str, ...]] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def label_names(self) -> list[str]:
        """The labels that occur, sorted; numbers by value."""
        if self.label_sets is not None:
            return sorted_labels(name for names in self.label_sets for name in names)
        return sorted_labels(self.labels)

    def targets(self, labels: Sequence[str], problem_type: str = "single_label_classification") -> np.ndarray:
        """Class ids int32 [texts]; values float32 [texts, 1] for regression; 1 for each label that a text has, float32
        [texts, labels], where it may have several.

        Raises:
            DataError: a label that is not one of `labels`, or a value that is not a finite number; with its line.
        """
        if problem_type == "regression":
            return np.array([[self._number(i)] for i in range(len(self))], "float32")
        if problem_type == "multi_label_classification":
            sets = self.label_sets if self.label_sets is not None else [(label,) for label in self.labels]
            return multi_hot(sets, labels, [self.where(i) for i in range(len(self))])
        ids = class_ids(labels)
        for index, label in enumerate(self.labels):
            if label not in ids:
                raise unknown_label(label, labels, self.where(index))
        return np.array([ids[label] for label in self.labels], "int32")

    def where(self, index: int) -> str:
        """File and line of a row, for messages."""
        return f"{self.path}, line {self.lines[index]}"

    def _number(self, index: int) -> float:
        try:
            value = float(self.labels[index])
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise DataError(f"{self.where(index)}: expected a finite number, got {self.labels[index]!r}")
        return value

    def subset(self, indices: Sequence[int]) -> LabelledTexts:
        """The rows of `indices`, in that order."""

        def pick(values: list) -> list:
            return [values[i] for i in indices]

        pairs = pick(self.pairs) if self.pairs is not None else None
        sets = pick(self.label_sets) if self.label_sets is not None else None
        return LabelledTexts(self.path, pick(self.texts), pairs, pick(self.labels), pick(self.lines), sets)


def read_labelled_texts(
    path: str | os.PathLike[str],
    columns: Columns | None = None,
    *,
    multi_label: bool = False,
    separator: str = SEPARATOR,
) -> LabelledTexts:
    """Read a table of labelled texts; see `tables.read_rows` for formats and errors.

    Args:
        multi_label: a text has any number of labels: its label field is parted by `separator`, or is a JSON list; an
            empty field is a text without labels.

    Raises:
        DataError: also when there is no row at all.
    """
    rows = list(read_rows(path, columns, empty_labels=multi_label))
    if not rows:
        raise DataError(f"{path} holds no examples")
    pairs = [row.pair or "" for row in rows] if rows[0].pair is not None else None
    labels = [row.label or "" for row in rows]
    sets = None
    if multi_label:
        sets = [split_labels(row.label or "", separator, f"{path}, line {row.line}") for row in rows]
    return LabelledTexts(os.fspath(path), [row.text for row in rows], pairs, labels, [row.line for row in rows], sets)


def split_labelled_texts(
    data: LabelledTexts, fraction: float, seed: int, *, by_label: bool = True
) -> tuple[LabelledTexts, LabelledTexts]:
    """Two parts, the second with `fraction` of the rows, rounded, at least one; drawn from `seed`.

    Args:
        by_label: the second part has the same share of every label, as near as whole rows allow, and never all rows of
            a label while another has one to spare; False, for labels that are numbers: any rows.
    """
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(data))
    groups: dict[str, list[int]] = {}
    names = _split_groups(data) if by_label else [""] * len(data)
    for row in shuffled.tolist():
        groups.setdefault(names[row], []).append(row)
    wanted = max(1, round(len(data) * fraction))
    taken = {name: int(len(rows) * fraction) for name, rows in groups.items()}
    # What is lost by rounding down goes to the labels that lost most; among equals, the order that was drawn decides.
    spare = [name for name, rows in groups.items() if len(rows) - taken[name] > 1]
    spare.sort(key=lambda name: taken[name] - len(groups[name]) * fraction)
    for name in (spare or list(groups))[: wanted - sum(taken.values())]:
        taken[name] += 1
    second = sorted(row for name, rows in groups.items() for row in rows[: taken[name]])
    first = sorted(set(range(len(data))) - set(second))
    return data.subset(first), data.subset(second)


def _split_groups(data: LabelledTexts) -> list[str]:
    """What each row is counted under: its label; where it may have several, all of them, and the sets of labels that
    occur once are one group."""
    if data.label_sets is None:
        return data.labels
    names = ["\0".join(sorted(labels)) for labels in data.label_sets]
    counts = collections.Counter(names)
    return [name if counts[name] > 1 else "\0once" for name in names]


def classification(
    data: str | os.PathLike[str] | LabelledTexts,
    tokenizer: Tokenizer,
    *,
    batch_size: int = 32,
    labels: Sequence[str] | None = None,
    problem_type: str = "single_label_classification",
    separator: str = SEPARATOR,
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
        problem_type: the model's; `multi_label_classification` reads several labels a text, parted by `separator`.
        max_length: longer texts are cut to this many tokens.
        shuffle: a new order each epoch, a function of `seed` and the epoch's number; False sorts by length.
        config: of the encoder, for inputs other than BERT's; None derives them from the tokenizer.

    Raises:
        DataError: a bad row or an unknown label; the message names file and line.
    """
    if not isinstance(data, LabelledTexts):
        multi_label = problem_type == "multi_label_classification"
        data = read_labelled_texts(data, columns, multi_label=multi_label, separator=separator)
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
