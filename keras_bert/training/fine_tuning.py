"""The optimizer of fine-tuning with its comforts: layers that learn at rates of their own, or join in later."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ..errors import ConfigError
from .fused_adamw import FusedAdamW
from .schedules import adamw


@keras.saving.register_keras_serializable(package="keras_bert")
class LayerwiseAdamW(FusedAdamW):
    """AdamW in which every variable may have a factor on the learning rate, and a step before which it rests.

    Args:
        rates: path of a variable -> (factor, first step); variables that are not named have (1, 0). A resting variable
            keeps its value and gathers moments, so that it starts with a known scale.
        arguments: as `FusedAdamW`.
    """

    def __init__(self, *args: Any, rates: dict[str, tuple[float, int]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rates = {path: (float(factor), int(first)) for path, (factor, first) in (rates or {}).items()}

    def build(self, variables: Any) -> None:
        super().build(variables)
        self._rate_of = [self.rates.get(variable.path, (1.0, 0)) for variable in self._trainable_variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        factor, first = self._rate_of[self._get_variable_index(variable)]
        if factor != 1:
            learning_rate = ops.cast(learning_rate, "float32") * factor
        if first:
            learning_rate = learning_rate * ops.cast(self.iterations >= first, "float32")
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rates": {path: list(rate) for path, rate in self.rates.items()}}


def layer_rates(
    model: Any, *, layer_decay: float = 1.0, unfreeze_after: int = 0, first_layer: int = 0
) -> dict[str, tuple[float, int]]:
    """Factor and first step of every variable of a task model, from its depth below the head.

    Args:
        layer_decay: a layer learns at this factor of the rate of the layer above it: the head at 1, the topmost block
            at `layer_decay`, the embeddings at its power of the number of blocks plus one (Clark et al. 2020, appendix
            A).
        unfreeze_after: steps after which the next layer joins in, from the head down (Howard and Ruder 2018, section
            3.3); 0: all learn from the start.
        first_layer: as many blocks as this, counted from the head, learn from the start with it.
    """
    encoder = model.encoder
    blocks = len(encoder.schedule)
    depths = {variable.path: 0 for variable in model.trainable_variables}
    for variable in encoder.embeddings.trainable_variables:
        depths[variable.path] = blocks + 1
    # Where blocks share weights, the last time that they run decides.
    for place, index in enumerate(encoder.schedule):
        for variable in encoder.blocks[index].trainable_variables:
            depths[variable.path] = blocks - place
    return {path: (layer_decay**depth, max(0, depth - first_layer) * unfreeze_after) for path, depth in depths.items()}


def fine_tuning_optimizer(
    model: Any,
    learning_rate: float = 5e-5,
    *,
    steps: int,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    clip_norm: float | None = 1.0,
    average: float = 0.0,
    layer_decay: float = 1.0,
    unfreeze: float = 0.0,
    accumulate: int = 1,
) -> keras.optimizers.AdamW:
    """`adamw` with rates of their own for the layers of a model, and gradients added up over batches.

    Args:
        model: a task model; its variables decide the rates.
        steps: batches of the whole training.
        layer_decay: see `layer_rates`; 1: one rate for all. 0.8 to 0.95 are usual.
        unfreeze: share of the steps in which the layers join in one by one from the head down; 0: all from the start.
        accumulate: batches whose gradients make one step (`gradient_accumulation_steps` of Keras). What is left over at
            the end of training is not applied.
        others: as `adamw`.

    Raises:
        ConfigError: out of range.
    """
    if not 0 < layer_decay <= 1:
        raise ConfigError(f"layer_decay: expected more than 0 and at most 1, got {layer_decay}")
    if not 0 <= unfreeze < 1:
        raise ConfigError(f"unfreeze: expected 0 or more and less than 1, got {unfreeze}")
    if not 1 <= accumulate <= steps:
        raise ConfigError(f"accumulate: expected 1 to the {steps} batches of the training, got {accumulate}")
    rates = None
    if layer_decay < 1 or unfreeze:
        after = round(steps * unfreeze / (len(model.encoder.schedule) + 1))
        rates = layer_rates(model, layer_decay=layer_decay, unfreeze_after=after)
    accumulation = {"gradient_accumulation_steps": accumulate} if accumulate > 1 else {}
    return adamw(
        learning_rate,
        steps=steps,
        warmup=warmup,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        average=average,
        kind=LayerwiseAdamW,
        rates=rates,
        **accumulation,
    )
