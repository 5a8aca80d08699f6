"""How much each attention head and each feed-forward unit matters, measured on labelled batches.

The measure is the size of the loss's gradient by a gate on the head's (unit's) output, which is 1 in the model as it
is: `I_h = E |d loss / d gate_h|` (Michel et al. 2019, equation 2; Molchanov et al. 2019 for single units). A gate on
column j of what a matrix W [in, out] reads scales row j of W, so that `d loss / d gate_j = sum_k W_jk * dL/dW_jk`: the
gradient of the matrix holds all gates, over all tokens and over all uses of a shared layer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_bert.errors import DataError


@dataclasses.dataclass(frozen=True, eq=False)
class Importance:
    """Mean absolute gate gradients a batch: `heads` float32 [num_heads] and `units` float32 [the block's
    intermediate_size] of each block, and how many `batches` they were measured on."""

    heads: list[np.ndarray]
    units: list[np.ndarray]
    batches: int


def measure_importance(model: Any, batches: Iterable[tuple[Any, Any]]) -> Importance:
    """The importance of heads and units for the task's loss.

    Args:
        model: a task model; its own loss is used (`training_defaults`).
        batches: (features, targets) as for `fit`. Small ones: in a large batch gradients of opposite sign cancel.

    Raises:
        DataError: there is no batch.
    """
    import tensorflow as tf

    model.compile()
    blocks = model.encoder.blocks
    kernels = [(block.attention.out.kernel.value, block.feedforward_out.kernel.value) for block in blocks]

    # A dataset says which lengths are open: one graph for all batches.
    specs = getattr(batches, "element_spec", None)

    @tf.function(reduce_retracing=specs is None, input_signature=specs, autograph=False)
    def gate_gradients(features: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = model(features, training=False)
            loss = model.compute_loss(x=features, y=targets, y_pred=outputs, training=False)
        gradients = tape.gradient(loss, kernels)
        return tf.nest.map_structure(lambda kernel, gradient: tf.reduce_sum(kernel * gradient, 1), kernels, gradients)

    config = model.config
    heads = [np.zeros(config.num_heads) for _ in blocks]
    units = [np.zeros(size) for size in config.feedforward_sizes]
    count = 0
    for features, targets in batches:
        for index, (attention, feedforward) in enumerate(gate_gradients(features, targets)):
            heads[index] += np.abs(attention.numpy().reshape(config.num_heads, -1).sum(1))
            units[index] += np.abs(feedforward.numpy())
        count += 1
    if not count:
        raise DataError("importance cannot be measured: there is no batch of labelled examples")
    of_heads, of_units = ([(block / count).astype("float32") for block in part] for part in (heads, units))
    return Importance(of_heads, of_units, count)


def most_important(values: Sequence[np.ndarray], keep: int, allocation: str = "uniform") -> list[np.ndarray]:
    """The indices of the largest of each block's `values`, ascending; of equal ones the first.

    Args:
        keep: how many of a block.
        allocation: `uniform`, as many of every block; `global`, the largest of all blocks together, `keep` a block on
            average and one of each at least.
    """
    if allocation == "uniform":
        return [np.sort(np.argsort(-block, kind="stable")[:keep]) for block in values]
    ranked = np.concatenate([np.where(np.arange(len(block)) == block.argmax(), np.inf, block) for block in values])
    kept = np.zeros(len(ranked), bool)
    kept[np.argsort(-ranked, kind="stable")[: keep * len(values)]] = True
    ends = np.cumsum([len(block) for block in values])
    return [np.flatnonzero(part) for part in np.split(kept, ends[:-1])]
