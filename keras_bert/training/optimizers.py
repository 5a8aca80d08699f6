"""The optimizers that the family was pretrained with: AdamW as in BERT's code, LAMB as in its paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

# Variables that neither decay nor are adapted: biases, and LayerNorm's scale and shift.
EXCLUDED = ("bias", "gamma", "beta")


class MomentOptimizer(keras.optimizers.Optimizer):
    """What AdamW and LAMB share: two moments a variable, and which variables are excluded.

    Usable in `compile`; the pretraining loop calls `new_values` itself. Clipping by the global norm is the base
    class's `global_clipnorm`.

    Args:
        learning_rate: a number or a schedule over `iterations`.
        weight_decay: rate of the decoupled decay.
        beta_1, beta_2: decay of the first and second moment.
        epsilon: added to the root of the second moment.
        bias_correction: divide the moments by 1 - beta ** t.
        exclude: last parts of the paths of variables without decay (and, in LAMB, without adaptation).
    """

    def __init__(
        self,
        learning_rate: Any,
        *,
        weight_decay: float = 0.01,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        bias_correction: bool = True,
        exclude: Sequence[str] = EXCLUDED,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Not the base class's `weight_decay`, which would be applied before the step and outside of it.
        super().__init__(learning_rate=learning_rate, name=name or type(self).__name__.lower(), **kwargs)
        self.decay_rate = weight_decay
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.bias_correction = bias_correction
        self.exclude = tuple(exclude)

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.first_moments, self.second_moments = (
            self.add_optimizer_variables(variables, name) for name in ("first_moment", "second_moment")
        )
        self.excluded = [variable.path.rsplit("/", 1)[-1] in self.exclude for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        slots = (variable, self.first_moments[index], self.second_moments[index])
        corrections = self.corrections(self.iterations)
        new = self.new_values(gradient, *slots, learning_rate, corrections, self.excluded[index])
        for slot, value in zip(slots, new, strict=True):
            self.assign(slot, value)

    def corrections(self, iterations: Any) -> tuple[Any, Any] | None:
        """What the two moments of all variables are divided by after `iterations` steps; None for nothing."""
        if not self.bias_correction:
            return None
        step = ops.cast(iterations, "float32") + 1
        # 1 - beta ** t by expm1: the difference itself loses four digits in float32 at the first steps.
        return -ops.expm1(step * math.log(self.beta_1)), -ops.expm1(step * math.log(self.beta_2))

    def new_values(
        self,
        gradient: Any,
        value: Any,
        first: Any,
        second: Any,
        learning_rate: Any,
        corrections: tuple[Any, Any] | None,
        excluded: bool,
    ) -> tuple[Any, Any, Any]:
        """A variable and its two moments after one step; nothing is assigned.

        Args:
            gradient, value, first, second: of one shape, float32.
            corrections: those of the step. excluded: whether the variable is spared decay and adaptation.
        """
        gradient = ops.cast(gradient, value.dtype)
        rate = ops.cast(learning_rate, value.dtype)
        first = self.beta_1 * first + (1 - self.beta_1) * gradient
        second = self.beta_2 * second + (1 - self.beta_2) * ops.square(gradient)
        corrected_first, corrected_second = first, second
        if corrections is not None:
            corrected_first, corrected_second = first / corrections[0], second / corrections[1]
        direction = corrected_first / (ops.sqrt(corrected_second) + self.epsilon)
        if not excluded:
            direction = direction + self.decay_rate * value
            direction = self.scaled(direction, value)
        return value - rate * direction, first, second

    def scaled(self, direction: Any, value: Any) -> Any:
        """The direction of a variable that is not excluded, decay included, scaled for that variable."""
        return direction

    def get_config(self) -> dict[str, Any]:
        config = {key: value for key, value in super().get_config().items() if key != "weight_decay"}
        return {
            **config,
            "weight_decay": self.decay_rate,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "bias_correction": self.bias_correction,
            "exclude": list(self.exclude),
        }


@keras.saving.register_keras_serializable(package="keras_bert")
class AdamW(MomentOptimizer):
    """AdamW as BERT was pretrained with (google-research/bert, `optimization.py`): the decay joins the update, and
    there is no bias correction unless asked for. Arguments as for `MomentOptimizer`."""

    def __init__(self, learning_rate: Any, *, bias_correction: bool = False, **kwargs: Any) -> None:
        super().__init__(learning_rate, bias_correction=bias_correction, **kwargs)


@keras.saving.register_keras_serializable(package="keras_bert")
class LAMB(MomentOptimizer):
    """LAMB (You et al. 2020, algorithm 2, with phi the identity): the update of each variable, decay included, is
    scaled to the norm of the variable. Excluded variables take the plain Adam update (section 4 and its code).
    Arguments as for `MomentOptimizer`."""

    def scaled(self, direction: Any, value: Any) -> Any:
        value_norm, direction_norm = ops.sqrt(ops.sum(ops.square(value))), ops.sqrt(ops.sum(ops.square(direction)))
        usable = ops.logical_and(value_norm > 0, direction_norm > 0)
        ratio = ops.where(usable, value_norm / ops.where(usable, direction_norm, 1.0), 1.0)
        return ratio * direction


OPTIMIZERS: dict[str, type[MomentOptimizer]] = {"adamw": AdamW, "lamb": LAMB}
