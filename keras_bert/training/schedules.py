"""Learning-rate schedules and the optimizer that BERT is fine-tuned with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from ..errors import ConfigError
from .fused_adamw import AveragedAdamW, FusedAdamW
from .optimizers import EXCLUDED


@keras.saving.register_keras_serializable(package="keras_bert")
class WarmupPolynomialDecay(keras.optimizers.schedules.LearningRateSchedule):
    """From 0 up to `peak` in `warmup_steps` steps, then down to `end` at `total_steps`.

    The way down is end + (peak - end) * (1 - progress) ** power; LAMB's paper (section 4) takes power 1, its reference
    code for the 512 phase 0.5. After `total_steps` it stays at `end`.

    Raises:
        ConfigError: more warmup than steps, or a power that is not above 0.
    """

    def __init__(
        self, peak: float, warmup_steps: int, total_steps: int, *, power: float = 1.0, end: float = 0.0
    ) -> None:
        if not 0 <= warmup_steps <= total_steps or total_steps < 1:
            raise ConfigError(f"warmup_steps: expected 0 to total_steps={total_steps}, got {warmup_steps}")
        if power <= 0:
            raise ConfigError(f"power: expected a number above 0, got {power}")
        self.peak, self.warmup_steps, self.total_steps = peak, warmup_steps, total_steps
        self.power, self.end = power, end

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        rising = self.peak * step / max(self.warmup_steps, 1)
        remaining = (self.total_steps - step) / max(self.total_steps - self.warmup_steps, 1)
        remaining = ops.clip(remaining, 0.0, 1.0)
        if self.power != 1:
            remaining = ops.power(remaining, self.power)
        falling = self.end + (self.peak - self.end) * remaining
        return ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "power": self.power,
            "end": self.end,
        }


@keras.saving.register_keras_serializable(package="keras_bert")
class WarmupLinearDecay(WarmupPolynomialDecay):
    """From 0 up to `peak` in `warmup_steps` steps, then down to 0 at `total_steps` (BERT paper, appendix A.2)."""

    def __init__(self, peak: float, warmup_steps: int, total_steps: int) -> None:
        super().__init__(peak, warmup_steps, total_steps)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "total_steps": self.total_steps}


def adamw(
    learning_rate: float = 2e-5,
    *,
    steps: int,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    clip_norm: float | None = 1.0,
    average: float = 0.0,
    kind: Callable[..., keras.optimizers.AdamW] | None = None,
    **others: Any,
) -> keras.optimizers.AdamW:
    """AdamW with linear warmup and decay; LayerNorm and biases do not decay (BERT paper, appendix A.2).

    Args:
        learning_rate: the peak.
        steps: optimizer steps of the whole training: epochs times batches.
        warmup: share of the steps that the learning rate rises.
        clip_norm: largest norm of all gradients together; None does not clip.
        average: keep a moving average of the weights beside them, over about this share of the steps (Polyak averaging,
            see `AveragedAdamW`); `fit` ends with it, `keras.callbacks.SwapEMAWeights` shows it after each epoch. 0:
            none.
        kind: the class, where a step is to do more; None: the quickest of the backend.
        others: arguments of that class alone.
    """
    if kind is None:
        kind = _quickest(average)
    optimizer = kind(
        WarmupLinearDecay(learning_rate, round(steps * warmup), steps),
        weight_decay=weight_decay,
        beta_2=0.999,
        epsilon=1e-6,
        global_clipnorm=clip_norm,
        use_ema=average > 0,
        ema_momentum=1 - 1 / max(average * steps, 1),
        **others,
    )
    optimizer.exclude_from_weight_decay(var_names=list(EXCLUDED))
    return optimizer


def _quickest(average: float) -> Callable[..., keras.optimizers.AdamW]:
    if keras.backend.backend() == "tensorflow":
        return FusedAdamW
    # Keras's own, no class derived from it, is one call for all variables on PyTorch; XLA fuses either on JAX.
    return AveragedAdamW if average else keras.optimizers.AdamW
