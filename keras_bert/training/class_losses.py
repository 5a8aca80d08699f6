"""Cross-entropy with what Keras's sparse one lacks: label smoothing, class weights, and targets that do not count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ..config import IGNORED_TARGET
from ..errors import ConfigError


@keras.saving.register_keras_serializable(package="keras_bert")
class SmoothedCrossEntropy(keras.losses.Loss):
    """Cross-entropy of logits `[..., classes]` with class ids `[...]`; `IGNORED_TARGET` does not count.

    Args:
        label_smoothing: share of the target that is spread evenly over all classes (Szegedy et al. 2016, section 7).
        class_weights: what a target of each class counts for; None: 1 each. The mean is over the number of targets, as
            with `class_weight` of `fit`.

    Raises:
        ConfigError: out of range.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        name: str = "cross_entropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"label_smoothing: expected 0 or more and less than 1, got {label_smoothing}")
        if class_weights is not None and not all(np.isfinite(w) and w >= 0 for w in class_weights):
            raise ConfigError(f"class_weights: expected finite numbers, none below 0, got {list(class_weights)}")
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else [float(weight) for weight in class_weights]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        counts = ops.not_equal(y_true, IGNORED_TARGET)
        classes = ops.cast(ops.where(counts, y_true, 0), "int32")
        log_probabilities = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)
        chosen = ops.take_along_axis(log_probabilities, ops.expand_dims(classes, -1), axis=-1)[..., 0]
        spread = ops.mean(log_probabilities, axis=-1)
        losses = -(1 - self.label_smoothing) * chosen - self.label_smoothing * spread
        if self.class_weights is not None:
            losses = losses * ops.take(ops.convert_to_tensor(self.class_weights, "float32"), classes, axis=0)
        mask = ops.cast(counts, "float32")
        # Keras divides by how many there are; the mean is over those that count.
        total = ops.cast(ops.size(mask), "float32")
        return losses * mask * (total / ops.maximum(ops.sum(mask), 1.0))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "class_weights": self.class_weights,
        }


def balanced_class_weights(targets: Any, num_classes: int) -> list[float]:
    """Weights that give every class that occurs the same total: targets / (classes * targets of the class).

    Args:
        targets: class ids of any shape; `IGNORED_TARGET` does not count. A class that does not occur weighs 1.
    """
    values = np.asarray(targets).reshape(-1)
    counts = np.bincount(values[values != IGNORED_TARGET], minlength=num_classes)
    occurring = max(int((counts > 0).sum()), 1)
    return [float(counts.sum() / (occurring * count)) if count else 1.0 for count in counts]
