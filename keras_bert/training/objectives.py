"""Pretraining losses over a global batch, and the sums that metrics are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

# Added to the sum of weights (google-research/bert, `run_pretraining.py`).
SMOOTHING = 1e-5
# What `losses` returns, in order; each entry adds up over micro-batches and replicas.
SUMS = (
    "mlm_loss",
    "sentence_loss",
    "mlm_correct",
    "mlm_weight",
    "sentence_correct",
    "sentence_weight",
    "tokens",
)


def total_weights(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Weights of the masked tokens and of the sentence pairs, float32 `[2]`, summed over all axes."""
    masked = tf.reduce_sum(tf.cast(batch["masked_weights"], tf.float32))
    pairs = batch.get("sentence_weights")
    return tf.stack([masked, tf.constant(0.0) if pairs is None else tf.reduce_sum(tf.cast(pairs, tf.float32))])


def losses(
    outputs: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor], totals: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The share of a micro-batch in the loss of its global batch.

    The loss is sum(w * cross entropy) / (sum(w) + 1e-5) for masked tokens (google-research/bert, `run_pretraining.py`)
    plus the same for sentence pairs. The sums below are over the global batch, so that shares, and their gradients,
    add up to the loss of the global batch whatever it is cut into.

    Args:
        outputs: `mlm_logits` `[batch, predictions, vocab_size]`, perhaps `sentence_logits` `[batch, pairs, 2]`.
        batch: targets and weights of the same leading shape, `padding_mask` `[batch, length]`.
        totals: `total_weights` of the global batch.

    Returns:
        The share, and `SUMS` as float32 `[7]`.
    """
    loss, correct, weight = _weighted(outputs["mlm_logits"], batch["masked_targets"], batch["masked_weights"])
    mlm_loss = loss / (totals[0] + SMOOTHING)
    sentence_loss = pair_correct = pair_weight = tf.constant(0.0)
    if "sentence_logits" in outputs:
        loss, pair_correct, pair_weight = _weighted(
            outputs["sentence_logits"], batch["sentence_targets"], batch["sentence_weights"]
        )
        sentence_loss = loss / (totals[1] + SMOOTHING)
    tokens = tf.reduce_sum(tf.cast(batch["padding_mask"], tf.float32))
    sums = tf.stack([mlm_loss, sentence_loss, correct, weight, pair_correct, pair_weight, tokens])
    return mlm_loss + sentence_loss, sums


def _weighted(logits: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Sums over all rows: weighted cross entropy, weighted hits, weights."""
    logits, weights = tf.cast(logits, tf.float32), tf.cast(weights, tf.float32)
    # Written out: XLA makes one pass over the vocabulary of each reduction, and an argmax is a slow one.
    is_target = tf.equal(tf.range(logits.shape[-1], dtype=targets.dtype), tf.expand_dims(targets, -1))
    target = tf.reduce_sum(tf.where(is_target, logits, 0.0), axis=-1)
    top = tf.stop_gradient(tf.reduce_max(logits, axis=-1))
    loss = tf.math.log(tf.reduce_sum(tf.exp(logits - tf.expand_dims(top, -1)), axis=-1)) + top - target
    hits = tf.cast(target >= top, tf.float32)
    return tf.reduce_sum(loss * weights), tf.reduce_sum(hits * weights), tf.reduce_sum(weights)


def training_metrics(sums: np.ndarray, steps: int) -> dict[str, float]:
    """Means from `SUMS` added up over `steps` steps: losses a step, accuracies a token and a pair, perplexity."""
    total = dict(zip(SUMS, np.asarray(sums, np.float64).tolist(), strict=True))
    return _metrics(total, total["mlm_loss"] / max(steps, 1), total["sentence_loss"] / max(steps, 1))


def evaluation_metrics(sums: np.ndarray) -> dict[str, float]:
    """Means from `SUMS` whose losses were divided by nothing: per token and per pair, over all batches together."""
    total = dict(zip(SUMS, np.asarray(sums, np.float64).tolist(), strict=True))
    pairs = max(total["sentence_weight"], 1.0)
    return _metrics(total, total["mlm_loss"] / max(total["mlm_weight"], 1.0), total["sentence_loss"] / pairs)


def _metrics(total: Mapping[str, float], mlm_loss: float, sentence_loss: float) -> dict[str, float]:
    """Sentence metrics are there where there were pairs."""
    found = {
        "loss": mlm_loss + sentence_loss,
        "mlm_loss": mlm_loss,
        "mlm_accuracy": total["mlm_correct"] / max(total["mlm_weight"], 1.0),
        "perplexity": math.exp(min(mlm_loss, 700.0)),
    }
    if total["sentence_weight"]:
        found["sentence_loss"] = sentence_loss
        found["sentence_accuracy"] = total["sentence_correct"] / total["sentence_weight"]
    return found
