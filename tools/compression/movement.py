"""Movement pruning (Sanh et al. 2020): weights stay that training moves away from zero, however small they are.

A score beside each weight gathers `-dL/dW' * W` (equation 3); the share with the lowest scores in a matrix is masked in
the forward pass. What a masked weight was is remembered: if its score recovers it comes back as it was.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_bert.training import adamw

from .masks import check_sparsity, prunable_kernels


class MovementAdamW(keras.optimizers.AdamW):
    """AdamW that hands each gradient of a watched variable to `scores` first, and gives masked weights no step."""

    scores: MovementScores | None = None

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if self.scores is not None:
            gradient = self.scores.observe(gradient, variable)
        super().update_step(gradient, variable, learning_rate)


class MovementScores(keras.callbacks.Callback):
    """Scores, masks and the weights behind the masks.

    Args:
        model: the model whose blocks are pruned, without a pattern.
        sparsity: share of zeros in each matrix at the end.
        begin_step, end_step: between them the sparsity rises from 0, by a cubic schedule (Zhu and Gupta 2017).

    Raises:
        ConfigError: a sparsity outside [0, 1).
    """

    def __init__(self, model: Any, sparsity: float, begin_step: int, end_step: int) -> None:
        super().__init__()
        check_sparsity(sparsity, "unstructured")
        self.sparsity, self.begin_step, self.end_step = sparsity, begin_step, end_step
        self.step = 0
        self._kernels = prunable_kernels(model)
        # TensorFlow's optimizers hand on the tf.Variable inside a Keras one.
        self._index = {id(v): index for index, kernel in enumerate(self._kernels) for v in (kernel, kernel.value)}
        # Copies: a Keras variable made from a tf.Variable would be that variable.
        copies = (ops.convert_to_numpy(kernel.value).copy() for kernel in self._kernels)
        self._weights = [keras.Variable(values, trainable=False, name="weight") for values in copies]
        self._scores, self._masks = (
            [keras.Variable(fill(kernel.shape), trainable=False, name=name) for kernel in self._kernels]
            for fill, name in ((ops.zeros, "score"), (ops.ones, "mask"))
        )

    def optimizer(self, learning_rate: float, **options: Any) -> keras.optimizers.Optimizer:
        """As `keras_bert.adamw`, watching the gradients of the pruned matrices."""
        made = adamw(learning_rate, **options, kind=MovementAdamW)
        made.scores = self
        return made

    def observe(self, gradient: Any, variable: Any) -> Any:
        """Add a gradient to the scores; return the part of it that the weight shall follow."""
        index = self._index.get(id(variable))
        if index is None:
            return gradient
        self._scores[index].assign_sub(gradient * self._weights[index].value)
        return gradient * self._masks[index].value

    def current_sparsity(self) -> float:
        """What the schedule asks for at this step."""
        span = max(self.end_step - self.begin_step, 1)
        progress = min(max((self.step - self.begin_step) / span, 0.0), 1.0)
        return self.sparsity * (1 - (1 - progress) ** 3)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        sparsity = self.current_sparsity()
        for kernel, weight, score, mask in zip(self._kernels, self._weights, self._scores, self._masks, strict=True):
            weight.assign(ops.where(mask.value > 0, kernel.value, weight.value))
            # After the end the masks stay, so that what is left can settle.
            if self.begin_step <= self.step <= self.end_step:
                mask.assign(_largest(score.value, sparsity))
            kernel.assign(weight.value * mask.value)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        # Averaged weights may have been put in place, from steps before the last masks.
        for kernel, mask in zip(self._kernels, self._masks, strict=True):
            kernel.assign(kernel.value * mask.value)

    def on_train_end(self, logs: Any = None) -> None:
        self.on_epoch_end(0)


def _largest(scores: Any, sparsity: float) -> Any:
    """1 for the share `1 - sparsity` of the largest scores, else 0; of equal ones the first."""
    size = 1
    for length in scores.shape:
        size *= length
    keep = max(round(size * (1 - sparsity)), 1)
    order = ops.argsort(-ops.reshape(scores, (-1,)))
    mask = ops.scatter(ops.expand_dims(order[:keep], -1), ops.ones((keep,), "float32"), (size,))
    return ops.reshape(mask, scores.shape)
