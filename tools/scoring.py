"""How well a classifier does on labelled texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_bert import metrics
from keras_bert.data import LabelledTexts

# The same as keras_bert_edge's: a text has the labels that are at least as likely as not.
THRESHOLD = 0.5


def chosen(outputs: np.ndarray) -> np.ndarray:
    """Which labels a text has where it may have several: bool [texts, labels] from probabilities."""
    return outputs >= THRESHOLD


def scores(outputs: np.ndarray, data: LabelledTexts, labels: Sequence[str], problem_type: str) -> dict[str, float]:
    """The metrics that fit the problem; the first is the one a run is judged by.

    Args:
        outputs: logits or probabilities, float [texts, labels]; probabilities where a text may have several labels; for
            regression [texts, 1].
    """
    targets = data.targets(labels, problem_type)
    if problem_type == "regression":
        values = outputs[:, 0]
        return {
            "pearson": metrics.pearson(targets[:, 0], values),
            "spearman": metrics.spearman(targets[:, 0], values),
            "mse": float(np.mean((targets[:, 0] - values) ** 2)),
        }
    if problem_type == "multi_label_classification":
        found = chosen(outputs)
        by_label = [score.f1 for score in metrics.class_scores(targets, found)]
        return {
            "micro_f1": metrics.micro_f1(targets, found),
            "macro_f1": float(np.mean(by_label)),
            "subset_accuracy": metrics.subset_accuracy(targets, found),
        }
    predictions = outputs.argmax(-1)
    return {
        "accuracy": metrics.accuracy(targets, predictions),
        "macro_f1": metrics.macro_f1(targets, predictions),
        "matthews": metrics.matthews(targets, predictions),
    }
