"""Any number of texts through a model, batched by length, results in the order of the texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import KerasBertError
from ..tokenizers import Tokenizer
from .batches import TokenizedTexts, batch_indices, tokenize


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
    limit = min(max_length or model.config.max_positions, model.config.max_positions)
    encoded = tokenize(tokenizer_of(model, tokenizer), texts, pairs, max_length=limit)
    results: list[Any] = [None] * len(texts)
    for indices, outputs in output_batches(model, encoded, batch_size, lambda index: texts[index]):
        for index, row in zip(indices, outputs["output"], strict=True):
            results[index] = row
        if on_batch:
            on_batch(len(indices))
    return np.stack(results) if results else np.zeros((0, 0), "float32")


def tokenizer_of(model: Any, tokenizer: Tokenizer | None = None) -> Tokenizer:
    """The given tokenizer, or the model's own.

    Raises:
        KerasBertError: there is neither.
    """
    tokenizer = tokenizer or model.tokenizer
    if tokenizer is None:
        raise KerasBertError("the model was loaded without a tokenizer: pass tokenizer=")
    return tokenizer


def output_batches(
    model: Any, texts: TokenizedTexts, batch_size: int, text_of: Callable[[int], str]
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Batches of texts of like length through a model: their indices and the outputs by name, float32 [batch, ...].

    A single output is called `output`.

    Args:
        text_of: the text of an index, for messages.

    Raises:
        KerasBertError: the model gives values that are not finite.
    """
    for indices in batch_indices(texts.lengths, batch_size, shuffle=False):
        outputs = _outputs(model, texts.features(indices, model.config))
        named = outputs if isinstance(outputs, Mapping) else {"output": outputs}
        arrays = {name: np.asarray(values, "float32") for name, values in named.items()}
        if not all(np.isfinite(values).all() for values in arrays.values()):
            raise KerasBertError(f"the model gave NaN or infinity for the text {text_of(indices[0])[:60]!r}")
        yield indices, arrays


def _outputs(model: Any, features: dict[str, np.ndarray]) -> Any:
    """The model's outputs; under a strategy of several devices from one of them: each would answer the whole batch."""
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is not None and strategy.num_replicas_in_sync > 1:
        return model(features, training=False)
    return model.predict_on_batch(features)


def probabilities(logits: np.ndarray, problem_type: str = "single_label_classification") -> np.ndarray:
    """Softmax of the last axis, a sigmoid each for several labels at once, values as they are for regression."""
    if problem_type == "regression":
        return logits
    if problem_type == "multi_label_classification":
        return 1 / (1 + np.exp(-logits))
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)
