"""GLUE's metrics (Wang et al. 2019, section 2): accuracy, F1, Matthews, Pearson and Spearman correlation."""

from __future__ import annotations

import numpy as np


def accuracy(targets: np.ndarray, predictions: np.ndarray) -> float:
    """Share of equal class ids."""
    return float(np.mean(np.asarray(targets) == np.asarray(predictions)))


def f1(targets: np.ndarray, predictions: np.ndarray, positive: int = 1) -> float:
    """Harmonic mean of precision and recall of one class; 0 where neither is defined."""
    targets, predictions = np.asarray(targets) == positive, np.asarray(predictions) == positive
    total = targets.sum() + predictions.sum()
    return float(2 * (targets & predictions).sum() / total) if total else 0.0


def macro_f1(targets: np.ndarray, predictions: np.ndarray) -> float:
    """Mean of the F1 of every class that occurs in targets or predictions."""
    classes = np.union1d(targets, predictions)
    return float(np.mean([f1(targets, predictions, label) for label in classes]))


def matthews(targets: np.ndarray, predictions: np.ndarray) -> float:
    """Matthews correlation for any number of classes (Gorodkin 2004, equation 8); 0 where it is not defined."""
    classes, ids = np.unique(np.concatenate([targets, predictions]), return_inverse=True)
    true, predicted = np.split(np.eye(len(classes))[ids], 2)

    def covariance(x: np.ndarray, y: np.ndarray) -> float:
        return float(((x - x.mean(0)) * (y - y.mean(0))).sum())

    scale = np.sqrt(covariance(true, true) * covariance(predicted, predicted))
    return covariance(true, predicted) / float(scale) if scale else 0.0


def pearson(targets: np.ndarray, predictions: np.ndarray) -> float:
    """Linear correlation; 0 where a side is constant."""
    x = np.asarray(targets, "float64") - np.mean(targets)
    y = np.asarray(predictions, "float64") - np.mean(predictions)
    scale = np.sqrt((x**2).sum() * (y**2).sum())
    return float((x * y).sum() / scale) if scale else 0.0


def spearman(targets: np.ndarray, predictions: np.ndarray) -> float:
    """Pearson correlation of the ranks, equal values sharing their mean rank."""
    return pearson(_ranks(np.asarray(targets)), _ranks(np.asarray(predictions)))


def _ranks(values: np.ndarray) -> np.ndarray:
    _, ids, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[ids]
