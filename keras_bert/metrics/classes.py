"""Scores class by class, the confusion matrix, and scores of texts with several labels each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class ClassScore(NamedTuple):
    """Scores between 0 and 1 (0 where they are not defined) and how many targets are of the class."""

    precision: float
    recall: float
    f1: float
    support: int


def class_scores(targets: np.ndarray, predictions: np.ndarray) -> list[ClassScore]:
    """One score a class, from what each text has and is given.

    Args:
        targets, predictions: bool or 0 and 1, [texts, classes]; `one_hot` makes them of class ids.
    """
    targets, predictions = np.asarray(targets) != 0, np.asarray(predictions) != 0
    right, found, expected = (x.sum(0).tolist() for x in (targets & predictions, predictions, targets))
    return [_score(*counts) for counts in zip(right, found, expected, strict=True)]


def micro_f1(targets: np.ndarray, predictions: np.ndarray) -> float:
    """F1 over all labels of all texts together; arguments as for `class_scores`."""
    targets, predictions = np.asarray(targets) != 0, np.asarray(predictions) != 0
    return _score(int((targets & predictions).sum()), int(predictions.sum()), int(targets.sum())).f1


def subset_accuracy(targets: np.ndarray, predictions: np.ndarray) -> float:
    """Share of texts whose labels are exactly right; arguments as for `class_scores`."""
    return float(((np.asarray(targets) != 0) == (np.asarray(predictions) != 0)).all(-1).mean())


def one_hot(ids: np.ndarray, num_classes: int) -> np.ndarray:
    """Class ids [texts] as bool [texts, num_classes]."""
    return np.asarray(ids)[:, None] == np.arange(num_classes)


def confusion_matrix(targets: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """How many texts of class i (rows) were given class j (columns): int64 [num_classes, num_classes]."""
    pairs = np.asarray(targets, "int64") * num_classes + np.asarray(predictions, "int64")
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def _score(right: int, found: int, expected: int) -> ClassScore:
    precision = right / found if found else 0.0
    recall = right / expected if expected else 0.0
    return ClassScore(precision, recall, 2 * right / (found + expected) if found + expected else 0.0, expected)
