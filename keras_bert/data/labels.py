"""Labels of texts: one each, or several each, and the arrays that models train on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np

from ..errors import DataError

SEPARATOR = ","


def split_labels(field: str, separator: str, where: str) -> tuple[str, ...]:
    """The labels of one field: parted by `separator`, blanks around each passed over, every label once.

    An empty field has no label. A field that came from a JSON list (`["a", "b"]`) has the list's items.

    Args:
        where: file and line, for messages.

    Raises:
        DataError: a label is empty, as in `a,,b`.
    """
    items: list[str] | None = None
    if field.startswith("["):
        try:
            items = [item if isinstance(item, str) else json.dumps(item) for item in json.loads(field)]
        except json.JSONDecodeError:
            items = None
    if items is None:
        items = field.split(separator) if field.strip() else []
    names = [item.strip() for item in items]
    if "" in names:
        raise DataError(f"{where}: an empty label among {field!r}")
    return tuple(dict.fromkeys(names))


def sorted_labels(names: Iterable[str]) -> list[str]:
    """Each name once, sorted; numbers by value."""
    distinct = set(names)
    number = all(name.removeprefix("-").isdecimal() for name in distinct)
    return sorted(distinct, key=lambda name: (int(name) if number else 0, name))


def class_ids(labels: Sequence[str]) -> dict[str, int]:
    """Label -> its number."""
    return {label: index for index, label in enumerate(labels)}


def unknown_label(label: str, labels: Iterable[str], where: str) -> DataError:
    """The error for a label that the model does not know, and the first few it knows."""
    names = list(labels)
    known = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return DataError(f"{where}: unknown label {label!r}; the model's labels are {known}")


def multi_hot(label_sets: Sequence[Sequence[str]], labels: Sequence[str], where: Sequence[str]) -> np.ndarray:
    """1 where a text has a label, float32 [texts, labels].

    Args:
        where: file and line of each text, for messages.

    Raises:
        DataError: a label that is not one of `labels`.
    """
    ids = class_ids(labels)
    targets = np.zeros((len(label_sets), len(labels)), "float32")
    for row, names in enumerate(label_sets):
        for name in names:
            if name not in ids:
                raise unknown_label(name, labels, where[row])
            targets[row, ids[name]] = 1
    return targets
