"""Pretraining losses over a global batch, and the sums that metrics are made of."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ..layers.fusion import is_compiled_on_cpu, is_fusing, program
from ..layers.product import sum_of_rows

# Added to the sum of weights (google-research/bert, `run_pretraining.py`).
SMOOTHING = 1e-5
# Parts of the loss: masked tokens, sentence pairs and, with a teacher, its soft labels and its hidden states.
LOSSES = ("mlm_loss", "sentence_loss", "soft_loss", "cosine_loss")
# Of the vocabulary, see `_reduced`: of 4 to 64 the quickest for 30,522 tokens.
PARTS = 8
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
            outputs: of `PretrainingNetwork`.
            batch: targets and weights of the same leading shape, `padding_mask` `[batch, length]`.
            totals: `total_weights` of the global batch. taught: of the same micro-batch.

        Returns:
            The share, and `SUMS` as float32 `[9]`.
        """
        loss, correct, weight = _weighted(
            outputs.get("mlm_products", outputs["mlm_logits"]),
            batch["masked_targets"],
            batch["masked_weights"],
            outputs.get("mlm_bias"),
        )
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


def _weighted(
    logits: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Sums over all rows: weighted cross entropy, weighted hits, weights. `bias` is added to each row of logits."""
    weights = tf.cast(weights, tf.float32)
    loss, hits = _cross_entropy(targets, logits, *([] if bias is None else [bias]))
    return tf.reduce_sum(loss * weights), tf.reduce_sum(hits * weights), tf.reduce_sum(weights)


@tf.custom_gradient
def _cross_entropy(targets: tf.Tensor, logits: tf.Tensor, *bias: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Any]:
    """Cross entropy and hits, float32, of each row of logits, plus a bias where one is given; its gradient is written
    out: a pass of its own."""
    look: Callable[..., Any] = program(_look) if is_fusing() else _look
    back: Callable[..., Any] = program(_back) if is_fusing() else _back
    loss, hits, total = look(targets, logits, *bias)

    def gradients(upstream: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        of_logits = back(upstream, total, targets, logits, *bias)
        return None, of_logits, *(sum_of_rows(of_logits, one.dtype) for one in bias)

    return (loss, hits), gradients


def _look(targets: tf.Tensor, logits: tf.Tensor, *bias: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Loss, hits and the logarithm of what softmax divides by."""
    target = _wide(tf.gather(logits, targets, batch_dims=targets.shape.rank))
    target = target + _wide(tf.gather(bias[0], targets)) if bias else target
    # Written out: an argmax is slow in XLA on a CPU.
    top = _reduced(tf.identity, tf.maximum, tf.reduce_max, logits, *bias)
    highest = tf.expand_dims(top, -1)
    share = _reduced(lambda x: tf.exp(x - highest), tf.add, tf.reduce_sum, logits, *bias)
    total = tf.math.log(share) + top
    # A target that ties for the top is a guess among those that do: low precision makes many ties, and logits that are
    # all alike know nothing.
    ties = _reduced(lambda x: _wide(x >= highest), tf.add, tf.reduce_sum, logits, *bias)
    return total - target, tf.where(target >= top, 1 / ties, 0.0), total


def _wide(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(x, tf.float32)


def _sum(tensors: Iterable[tf.Tensor]) -> tf.Tensor:
    return functools.reduce(tf.add, map(_wide, tensors))


def _reduced(
    function: Callable[[tf.Tensor], tf.Tensor],
    combine: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    reduce: Callable[..., tf.Tensor],
    *logits: tf.Tensor,
) -> tf.Tensor:
    """`reduce(function(sum of logits), -1)` in float32, `combine` being its operation of two.

    XLA on a CPU writes all of `function` before it reduces it, and reduces 16 bits slowly. There eight parts of the
    axis are combined first, in one pass that writes an eighth.
    """

    def part(start: int | None = None, stop: int | None = None) -> tf.Tensor:
        return function(_sum(x[..., start:stop] for x in logits))

    vocabulary = logits[0].shape[-1]
    size = vocabulary // PARTS
    if not (is_compiled_on_cpu() and size):
        return reduce(part(), axis=-1)
    parts = functools.reduce(combine, [part(i * size, (i + 1) * size) for i in range(PARTS)])
    found = reduce(parts, axis=-1)
    if PARTS * size == vocabulary:
        return found
    return combine(found, reduce(part(PARTS * size), axis=-1))


def _back(upstream: tf.Tensor, total: tf.Tensor, targets: tf.Tensor, logits: tf.Tensor, *bias: tf.Tensor) -> tf.Tensor:
    is_target = tf.equal(tf.range(logits.shape[-1], dtype=targets.dtype), tf.expand_dims(targets, -1))
    share = tf.exp(_sum((logits, *bias)) - tf.expand_dims(total, -1))
    return tf.cast((share - _wide(is_target)) * tf.expand_dims(upstream, -1), logits.dtype)
