"""AdamW of Keras with an average of the weights that forgets the start, and one kernel a variable on TensorFlow."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_bert")
class AveragedAdamW(keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` whose average of the weights (`use_ema`) spans half of the steps so far at most.

    With Keras's the first weights, those of a new head above all, weigh for as long as `ema_momentum` says. Here the
    n-th step counts n times as much as the first (polynomial decay, Shamir and Zhang 2013, section 4) until
    `ema_momentum` spans fewer steps than that.
    """

    def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
        if not self.use_ema:
            return
        share = ops.maximum(1 - self.ema_momentum, 2 / (ops.cast(self.iterations, "float32") + 2))
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            if average is not None:
                self._subtract(average, ops.cast(share, average.dtype), average - variable)

    def _subtract(self, variable: Any, factor: Any, value: Any) -> None:
        """`variable -= factor * value`."""
        self.assign_sub(variable, factor * value)


@keras.saving.register_keras_serializable(package="keras_bert")
class FusedAdamW(AveragedAdamW):
    """`AveragedAdamW` in which a variable, its moments and its average change in few passes on TensorFlow.

    Keras writes a step as some twenty operations that each read and write all weights: a fifth of a small model's
    training step on a CPU, and on a GPU as many kernel launches a variable. TensorFlow's own kernels compute the same
    formulas. With `amsgrad`, and on other backends, the operations are Keras's.

    The decay of a variable is part of its update, at the rate that the update is given.
    """

    weight_decay: Any
    # beta_1 and beta_2 to the power of the step under way, the same for all variables.
    _powers: Any = None

    def _backend_update_step(self, *arguments: Any) -> None:
        if _on_tensorflow():
            step = ops.cast(self.iterations + 1, "float32")
            self._powers = [ops.power(ops.cast(beta, "float32"), step) for beta in (self.beta_1, self.beta_2)]
        super()._backend_update_step(*arguments)
        self._powers = None

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if self.weight_decay and self._use_weight_decay(variable):
            rate = ops.cast(learning_rate, variable.dtype) * self.weight_decay
            self._subtract(variable, rate, variable)
        if not _on_tensorflow() or self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        index = self._get_variable_index(variable)
        first_power, second_power = (ops.cast(power, variable.dtype) for power in self._powers)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=first_power,
            beta2_power=second_power,
            lr=ops.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            # Dense: a sparse kernel would leave the moments of the rows that a batch has not as they are.
            grad=tf.cast(tf.convert_to_tensor(gradient), variable.dtype),
        )

    def _apply_weight_decay(self, variables: Any) -> None:
        """Nothing: `update_step` does it."""

    def _subtract(self, variable: Any, factor: Any, value: Any) -> None:
        """In one pass where there is a kernel for it."""
        if not _on_tensorflow():
            super()._subtract(variable, factor, value)
            return
        import tensorflow as tf

        tf.raw_ops.ResourceApplyGradientDescent(var=_handle(variable), alpha=factor, delta=tf.convert_to_tensor(value))


def _on_tensorflow() -> bool:
    return keras.backend.backend() == "tensorflow"


def _handle(variable: Any) -> Any:
    """The resource of a Keras or a TensorFlow variable; of a mirrored one, this replica's."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
