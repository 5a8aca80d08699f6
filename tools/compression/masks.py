"""Magnitude pruning of single weights, with the schedules and masks of tensorflow-model-optimization (extra `prune`).

Its wrappers refuse Keras 3 models; its schedules and its mask computation work on the variables inside them (Zhu and
Gupta 2017). Pruned are the matrices of the encoder's blocks. Patterns are those of the matrix as checkpoints and
runtimes hold it, [out, in]: `1x16` blocks lie along a row, `2:4` leaves two of every four neighbours in a row.
"""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np

from keras_bert.checkpoints import open_checkpoint
from keras_bert.errors import ConfigError, MissingExtraError

from ..quiet import quiet_imports

# Pattern -> block in the Keras kernel [in, out].
_BLOCKS = {"unstructured": (1, 1), "1x16": (16, 1), "2:4": (1, 1)}
PATTERNS = tuple(_BLOCKS)
_UPDATES = 20  # of the masks while the sparsity rises
# Share of zeros in the layers' matrices from which on a model counts as pruned: one that was only trained has none.
PRUNED = 0.01


def prunable_kernels(model: Any) -> list[keras.Variable]:
    """The matrices of all blocks of a model's encoder."""
    kernels = []
    for block in getattr(model, "encoder", model).blocks:
        attention = block.attention
        layers = (attention.query, attention.key, attention.value, attention.out)
        kernels += [layer.kernel for layer in (*layers, block.feedforward_in, block.feedforward_out)]
    return kernels


def check_sparsity(sparsity: float, pattern: str) -> None:
    """Raise ConfigError for a sparsity that nothing is left of, or that the pattern does not have."""
    if pattern not in PATTERNS:
        raise ConfigError(f"pattern: expected one of {', '.join(PATTERNS)}, got {pattern!r}")
    if not 0 <= sparsity < 1:
        raise ConfigError(f"sparsity: expected 0 or more and less than 1, got {sparsity}")
    if pattern == "2:4" and sparsity != 0.5:
        raise ConfigError(f"sparsity: the pattern 2:4 is 0.5, got {sparsity}")


class MagnitudePruning(keras.callbacks.Callback):
    """Masks the smallest weights, more and more of them until `end_step`, and keeps them at zero.

    Args:
        model: the model whose blocks are pruned.
        sparsity: share of zeros in each matrix at the end. pattern: one of `PATTERNS`; 2:4 masks at once.
        end_step: step at which the sparsity is reached.

    Raises:
        ConfigError: a sparsity outside [0, 1), or another than the pattern's.
        MissingExtraError: tensorflow-model-optimization is not installed (extra `prune`).
    """

    def __init__(self, model: Any, sparsity: float, pattern: str, end_step: int) -> None:
        super().__init__()
        check_sparsity(sparsity, pattern)
        implementation, schedules = _tfmot()
        import tensorflow as tf

        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        kernels = [kernel.value for kernel in prunable_kernels(model)]
        masks = [tf.Variable(tf.ones_like(kernel), trainable=False) for kernel in kernels]
        thresholds = [tf.Variable(0.0, trainable=False) for _ in kernels]
        frequency = max(1, (end_step - 1) // _UPDATES)
        begin = 1 + (end_step - 1) % frequency  # such that the last update falls on end_step
        if end_step > begin:
            schedule = schedules.PolynomialDecay(0.0, sparsity, begin, end_step, frequency=frequency)
        else:
            schedule = schedules.ConstantSparsity(sparsity, 1, frequency=1)
        self._pruning = implementation.Pruning(
            training_step_fn=lambda: self._step,
            pruning_vars=list(zip(kernels, masks, thresholds, strict=True)),
            pruning_schedule=schedule,
            block_size=_BLOCKS[pattern],
            block_pooling_type="AVG",
            sparsity_m_by_n=(2, 4) if pattern == "2:4" else None,
        )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.update()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        # Averaged weights may have been put in place, from steps before the last masks.
        self._pruning.weight_mask_op()

    def on_train_end(self, logs: Any = None) -> None:
        self._pruning.weight_mask_op()

    def update(self) -> None:
        """One step: new masks where the schedule says so, then the weights masked."""
        self._step.assign_add(1)
        self._pruning.conditional_mask_update()
        self._pruning.weight_mask_op()


class KeepZeros(keras.callbacks.Callback):
    """Keeps the zeros of a pruned model at zero while it is trained further.

    Args:
        model: the model; matrices of its blocks without a zero are left alone.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._masked = []
        for kernel in prunable_kernels(model):
            mask = keras.ops.convert_to_numpy(kernel.value) != 0
            if not mask.all():
                self._masked.append((kernel, keras.ops.convert_to_tensor(mask.astype("float32"))))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        for kernel, mask in self._masked:
            kernel.assign(kernel.value * mask)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.on_train_batch_end(0)  # averaged weights may have been put in place

    def on_train_end(self, logs: Any = None) -> None:
        self.on_train_batch_end(0)


def zero_share(model: Any) -> float:
    """Share of exact zeros in the matrices of all blocks of a model's encoder."""
    kernels = [keras.ops.convert_to_numpy(kernel.value) for kernel in prunable_kernels(model)]
    return float(sum(np.sum(kernel == 0) for kernel in kernels) / sum(kernel.size for kernel in kernels))


def saved_sparsity(path: str | pathlib.Path) -> tuple[float, dict[str, float]]:
    """Share of zeros in the blocks' matrices of a checkpoint, over all and by tensor, counted from its file.

    Raises:
        CheckpointError: it cannot be read.
    """
    checkpoint = open_checkpoint(path)
    stem = checkpoint.names.block_prefix.partition("{")[0]
    zeros = total = 0
    shares = {}
    for name, stored in sorted(checkpoint.tensors.items()):
        if name.startswith(stem) and len(checkpoint.shape(stored)) == 2:
            values = checkpoint.read(stored)
            count = int(values.size - np.count_nonzero(values))
            shares[name] = count / values.size
            zeros, total = zeros + count, total + values.size
    return zeros / max(total, 1), shares


def _tfmot() -> tuple[Any, Any]:
    try:
        with quiet_imports():
            from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl, pruning_schedule
    except ImportError as error:
        raise MissingExtraError(
            f"tensorflow-model-optimization cannot be imported ({error}): pip install 'keras-bert-toolkit[prune]'"
        ) from error
    return pruning_impl, pruning_schedule
