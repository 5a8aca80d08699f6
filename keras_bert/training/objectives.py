"""Pretraining losses over a global batch, and the sums that metrics are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ..layers.fusion import is_fusing, program

# Added to the sum of weights (google-research/bert, `run_pretraining.py`).
SMOOTHING = 1e-5
# Parts of the loss: masked tokens, sentence pairs and, with a teacher, its soft labels and its hidden states.
LOSSES = ("mlm_loss", "sentence_loss", "soft_loss", "cosine_loss")
# What `losses` returns, in order; each entry adds up over micro-batches and replicas.
SUMS = (
    *LOSSES,
    "mlm_correct",
    "mlm_weight",
    "sentence_correct",
    "sentence_weight",
    "tokens",
)


def total_weights(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Weights of the masked tokens, of the sentence pairs and of all tokens, float32 `[3]`, summed over all axes."""
    masked = tf.reduce_sum(tf.cast(batch["masked_weights"], tf.float32))
    pairs = batch.get("sentence_weights")
    tokens = tf.reduce_sum(tf.cast(batch["padding_mask"], tf.float32))
    return tf.stack([masked, tf.constant(0.0) if pairs is None else tf.reduce_sum(tf.cast(pairs, tf.float32)), tokens])


class Objective:
    """What a step minimises: the family's own pretraining loss.

    Attributes:
        weights: of `LOSSES` in the loss.
        reads_hidden_states: whether the network must give `sequence_output` too.
    """

    weights: tuple[float, float, float, float] = (1.0, 1.0, 0.0, 0.0)
    reads_hidden_states = False

    def taught(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What the losses read beside the network's outputs and is no function of its weights: nothing."""
        return {}

    def losses(
        self,
        outputs: Mapping[str, tf.Tensor],
        batch: Mapping[str, tf.Tensor],
        totals: tf.Tensor,
        taught: Mapping[str, tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The share of a micro-batch in the loss of its global batch.

        Each part is sum(w * x) / (sum(w) + 1e-5), as google-research/bert's `run_pretraining.py` divides: of masked
        tokens x is the cross entropy, of sentence pairs theirs. The sums below are over the global batch, so that
        shares, and their gradients, add up to the loss of the global batch whatever it is cut into.

        Args:
            outputs: `mlm_logits` `[batch, predictions, vocab_size]`, perhaps `sentence_logits` `[batch, pairs, 2]`.
            batch: targets and weights of the same leading shape, `padding_mask` `[batch, length]`.
            totals: `total_weights` of the global batch. taught: of the same micro-batch.

        Returns:
            The share, and `SUMS` as float32 `[9]`.
        """
        loss, correct, weight = _weighted(outputs["mlm_logits"], batch["masked_targets"], batch["masked_weights"])
        mlm_loss = loss / (totals[0] + SMOOTHING)
        sentence_loss = pair_correct = pair_weight = tf.constant(0.0)
        if "sentence_logits" in outputs:
            loss, pair_correct, pair_weight = _weighted(
                outputs["sentence_logits"], batch["sentence_targets"], batch["sentence_weights"]
            )
            sentence_loss = loss / (totals[1] + SMOOTHING)
        parts = [mlm_loss, sentence_loss, *self.teacher_losses(outputs, batch, totals, taught)]
        tokens = tf.reduce_sum(tf.cast(batch["padding_mask"], tf.float32))
        sums = tf.stack([*parts, correct, weight, pair_correct, pair_weight, tokens])
        return tf.add_n([w * part for w, part in zip(self.weights, parts, strict=True) if w]), sums

    def teacher_losses(
        self,
        outputs: Mapping[str, tf.Tensor],
        batch: Mapping[str, tf.Tensor],
        totals: tf.Tensor,
        taught: Mapping[str, tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The last two of `LOSSES`; without a teacher they are 0."""
        return tf.constant(0.0), tf.constant(0.0)

    def training_metrics(self, sums: np.ndarray, steps: int) -> dict[str, float]:
        """Means from `SUMS` added up over `steps` steps: losses a step, accuracies a token and a pair, perplexity."""
        total = dict(zip(SUMS, np.asarray(sums, np.float64).tolist(), strict=True))
        return self._metrics(total, {name: total[name] / max(steps, 1) for name in LOSSES})

    def evaluation_metrics(self, sums: np.ndarray) -> dict[str, float]:
        """Means from `SUMS` whose losses were divided by nothing: per token and per pair, over all batches together."""
        total = dict(zip(SUMS, np.asarray(sums, np.float64).tolist(), strict=True))
        weights = ("mlm_weight", "sentence_weight", "mlm_weight", "tokens")
        return self._metrics(
            total, {name: total[name] / max(total[w], 1.0) for name, w in zip(LOSSES, weights, strict=True)}
        )

    def _metrics(self, total: Mapping[str, float], means: Mapping[str, float]) -> dict[str, float]:
        """Metrics of sentences are there where there were pairs, those of a teacher where there is one."""
        found = {
            "loss": sum(weight * means[name] for weight, name in zip(self.weights, LOSSES, strict=True)),
            "mlm_loss": means["mlm_loss"],
            "mlm_accuracy": total["mlm_correct"] / max(total["mlm_weight"], 1.0),
            "perplexity": math.exp(min(means["mlm_loss"], 700.0)),
        }
        if total["sentence_weight"]:
            found["sentence_loss"] = means["sentence_loss"]
            found["sentence_accuracy"] = total["sentence_correct"] / total["sentence_weight"]
        return found | {name: means[name] for name, weight in zip(LOSSES[2:], self.weights[2:], strict=True) if weight}


def _weighted(logits: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Sums over all rows: weighted cross entropy, weighted hits, weights."""
    weights = tf.cast(weights, tf.float32)
    loss, hits = _cross_entropy(logits, targets)
    return tf.reduce_sum(loss * weights), tf.reduce_sum(hits * weights), tf.reduce_sum(weights)


@tf.custom_gradient
def _cross_entropy(logits: tf.Tensor, targets: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Any]:
    """Cross entropy and hits, float32, of each row of logits; its gradient is written out: a pass of its own."""
    look: Callable[..., Any] = program(_look) if is_fusing() else _look
    back: Callable[..., Any] = program(_back) if is_fusing() else _back
    loss, hits, total = look(logits, targets)
    return (loss, hits), lambda upstream, _: (back(logits, targets, total, upstream), None)


def _look(logits: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Loss, hits and the logarithm of what softmax divides by."""
    logits = tf.cast(logits, tf.float32)  # XLA's reductions of 16 bits take several times as long on a CPU
    target = tf.gather(logits, targets, batch_dims=targets.shape.rank)
    # Written out: XLA makes one pass over the vocabulary of each reduction, and an argmax is a slow one.
    top = tf.reduce_max(logits, axis=-1)
    total = tf.math.log(tf.reduce_sum(tf.exp(logits - tf.expand_dims(top, -1)), axis=-1)) + top
    # A target that ties for the top is a guess among those that do: low precision makes many ties, and logits that are
    # all alike know nothing.
    ties = tf.reduce_sum(tf.cast(logits >= tf.expand_dims(top, -1), tf.float32), axis=-1)
    return total - target, tf.where(target >= top, 1 / ties, 0.0), total


def _back(logits: tf.Tensor, targets: tf.Tensor, total: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    is_target = tf.equal(tf.range(logits.shape[-1], dtype=targets.dtype), tf.expand_dims(targets, -1))
    share = tf.exp(tf.cast(logits, tf.float32) - tf.expand_dims(total, -1))
    return tf.cast((share - tf.cast(is_target, tf.float32)) * tf.expand_dims(upstream, -1), logits.dtype)
