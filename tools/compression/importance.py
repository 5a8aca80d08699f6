"""How much each attention head and each feed-forward unit matters, measured on labelled batches.

The measure is the size of the loss's gradient by a gate on the head's (unit's) output, which is 1 in the model as it
is: `I_h = E |d loss / d gate_h|` (Michel et al. 2019, equation 2; Molchanov et al. 2019 for single units). A gate on
column j of what a matrix W [in, out] reads scales row j of W, so that `d loss / d gate_j = sum_k W_jk * dL/dW_jk`: the
gradient of the matrix holds all gates, over all tokens and over all uses of a shared layer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_bert.errors import DataError


@dataclasses.dataclass(frozen=True, eq=False)
class Importance:
    """Mean absolute gate gradients a batch: `heads` float32 [blocks, num_heads], `units` float32 [blocks,
    intermediate_size], and how many `batches` they were measured on."""

    heads: np.ndarray
    units: np.ndarray
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
    heads = np.zeros((len(blocks), config.num_heads))
    units = np.zeros((len(blocks), config.intermediate_size))
    count = 0
    for features, targets in batches:
        for index, (attention, feedforward) in enumerate(gate_gradients(features, targets)):
            heads[index] += np.abs(attention.numpy().reshape(config.num_heads, -1).sum(1))
            units[index] += np.abs(feedforward.numpy())
        count += 1
    if not count:
        raise DataError("importance cannot be measured: there is no batch of labelled examples")
    return Importance((heads / count).astype("float32"), (units / count).astype("float32"), count)


def most_important(values: np.ndarray, keep: int) -> list[np.ndarray]:
    """Of each block (a row of `values`), the indices of the `keep` largest, ascending; of equal ones the first."""
    order = np.argsort(-values, axis=1, kind="stable")[:, :keep]
    return [np.sort(row) for row in order]
