"""How well a classifier does on labelled texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_bert import metrics
from keras_bert.data import LabelledTexts


def scores(outputs: np.ndarray, data: LabelledTexts, labels: Sequence[str], problem_type: str) -> dict[str, float]:
    """The metrics that fit the problem; the first is the one a run is judged by.

    Args:
        outputs: logits or scores, float [texts, labels]; for regression [texts, 1].
    """
    targets = data.targets(labels, problem_type)
    if problem_type == "regression":
        values = outputs[:, 0]
        return {
            "pearson": metrics.pearson(targets[:, 0], values),
            "spearman": metrics.spearman(targets[:, 0], values),
            "mse": float(np.mean((targets[:, 0] - values) ** 2)),
        }
    predictions = outputs.argmax(-1)
    return {
        "accuracy": metrics.accuracy(targets, predictions),
        "macro_f1": metrics.macro_f1(targets, predictions),
        "matthews": metrics.matthews(targets, predictions),
    }
