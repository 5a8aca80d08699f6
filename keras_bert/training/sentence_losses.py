"""Losses of sentence vectors. A batch holds pairs: rows 2i and 2i + 1 are the two texts of pair i, as
`keras_bert.data.sentence_pairs` lays them."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def pair_cosines(vectors: Any) -> tuple[Any, Any]:
    """First and second vectors of the pairs, each [batch, hidden_size] of length 1, from [2 * batch, hidden_size]."""
    vectors = ops.normalize(ops.cast(vectors, "float32"), axis=-1)
    return vectors[0::2], vectors[1::2]


@keras.saving.register_keras_serializable(package="keras_bert")
class MultipleNegativesRankingLoss(keras.losses.Loss):
    """In-batch contrastive loss: the first text of a pair must be closer to its second than to the seconds of all other
    pairs of the batch (Henderson et al. 2017, section 4.4; Sentence-BERT's MultipleNegativesRankingLoss).

    Cross-entropy over the cosines times `scale`. Targets are not read. Larger batches are harder and teach more; a pair
    that stands in a batch twice counts as wrong once.

    Args:
        scale: what cosines are multiplied by before the softmax: the inverse temperature.
        symmetric: also tell the second text's own first from the others (as CLIP does), and take the mean of both.
    """

    def __init__(self, scale: float = 20.0, symmetric: bool = False, name: str = "contrastive", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.scale, self.symmetric = scale, symmetric

    def call(self, y_true: Any, y_pred: Any) -> Any:
        first, second = pair_cosines(y_pred)
        logits = ops.matmul(first, ops.transpose(second)) * self.scale
        labels = ops.arange(ops.shape(logits)[0])
        losses = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        if self.symmetric:
            other = ops.sparse_categorical_crossentropy(labels, ops.transpose(logits), from_logits=True)
            losses = (losses + other) / 2
        return ops.repeat(losses, 2, axis=0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "symmetric": self.symmetric}


@keras.saving.register_keras_serializable(package="keras_bert")
class CosineSimilarityLoss(keras.losses.Loss):
    """The squared difference of a pair's cosine from its score (Sentence-BERT paper, section 3, regression).

    Targets are the scores, -1 to 1, the same in both rows of a pair.
    """

    def __init__(self, name: str = "cosine", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        first, second = pair_cosines(y_pred)
        cosines = ops.repeat(ops.sum(first * second, axis=-1), 2, axis=0)
        return ops.square(cosines - ops.cast(ops.reshape(y_true, (-1,)), "float32"))
