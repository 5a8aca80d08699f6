"""How well a classifier does on labelled texts: predictions once, metrics from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_bert import metrics
from keras_bert.data import LabelledTexts, predict_logits

from .progress import progress_bar


def predict(model: Any, data: LabelledTexts, *, batch_size: int = 64, max_length: int | None = None) -> np.ndarray:
    """Logits float32 [texts, labels] of a labelled set, with a progress bar."""
    with progress_bar("evaluating", len(data)) as advance:
        return predict_logits(
            model, data.texts, data.pairs, batch_size=batch_size, max_length=max_length, on_batch=advance
        )


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
