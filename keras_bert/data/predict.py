"""Any number of texts through a model, batched by length, results in the order of the texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import KerasBertError
from ..tokenizers import Tokenizer
from .batches import batch_indices, tokenize


def predict_logits(
    model: Any,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    batch_size: int = 32,
    max_length: int | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> np.ndarray:
    """The model's output row for each text: float32 [texts, outputs].

    Args:
        model: a task model with one output row a text (`SequenceClassifier`, `SentenceEncoder`).
        tokenizer: None takes the model's own.
        max_length: longer texts are cut; None, to the model's positions.
        on_batch: called with the number of texts done since the last call.

    Raises:
        KerasBertError: the model has no tokenizer, or gives values that are not finite.
    """
    tokenizer = tokenizer or model.tokenizer
    if tokenizer is None:
        raise KerasBertError("the model was loaded without a tokenizer: pass tokenizer=")
    limit = min(max_length or model.config.max_positions, model.config.max_positions)
    encoded = tokenize(tokenizer, texts, pairs, max_length=limit)
    results: list[Any] = [None] * len(texts)
    for indices in batch_indices(encoded.lengths, batch_size, shuffle=False):
        outputs = np.asarray(model.predict_on_batch(encoded.features(indices, model.config)), "float32")
        if not np.isfinite(outputs).all():
            raise KerasBertError(f"the model gave NaN or infinity for the text {texts[indices[0]][:60]!r}")
        for index, row in zip(indices, outputs, strict=True):
            results[index] = row
        if on_batch:
            on_batch(len(indices))
    return np.stack(results) if results else np.zeros((0, 0), "float32")


def probabilities(logits: np.ndarray, problem_type: str = "single_label_classification") -> np.ndarray:
    """Softmax of the last axis, a sigmoid each for several labels at once, values as they are for regression."""
    if problem_type == "regression":
        return logits
    if problem_type == "multi_label_classification":
        return 1 / (1 + np.exp(-logits))
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)
