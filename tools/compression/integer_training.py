"""Training a model for integers: its dense layers round from the start as the exported file will."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_bert.layers import QuantizationSpec
from keras_bert.models.quantization import dense_layers, quantizers

from ..tflite.calibrate import measure_inputs
from ..tflite.convert import add_task
from ..tflite.ranges import measure_ranges
from ..tflite.reading import read_weights
from ..tflite.recipes import TRAINED, Recipe
from ..tflite.rounding import best_clips, block_size_for
from ..tflite.weights import linears_of


def train_for(model: Any, recipe: Recipe, texts: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Let the dense layers of `model` round as `recipe` stores them, from ranges measured on texts.

    Args:
        model: a task model that has not been trained or run compiled yet.
        recipe: one of `TRAINED`; layers that it keeps in dynamic int8 do not round.
        texts: model inputs, int32 [1, length] each.
    """
    weights = read_weights(model, fold=False)
    linears = linears_of(weights)
    chosen = {
        name: layer
        for name, layer in dense_layers(model).items()
        if recipe.kind(name, layer.kernel.shape[0]) == recipe.matrices
    }
    if recipe.matrices == "static":
        ranges = measure_ranges(weights, texts, add_task(model))
        for name, layer in chosen.items():
            quantizer, found = layer.enable_fake_quantization(QuantizationSpec()), ranges[name]
            for part in ("input", "output"):
                getattr(quantizer, f"{part}_scale").assign(getattr(found, f"{part}_scale"))
                getattr(quantizer, f"{part}_range").assign(np.float32(getattr(found, part)))
        return
    statistics = measure_inputs(weights, texts, add_task(model))
    for name, layer in chosen.items():
        block = block_size_for(layer.kernel.shape[0], recipe.block_size)
        quantizer = layer.enable_fake_quantization(QuantizationSpec(4, block, activations=False))
        weight = statistics[name].mean_square
        quantizer.clip.assign(best_clips(linears[name].matrix, weight, block).T)


def trained_recipe(model: Any) -> str | None:
    """Which of `TRAINED` a model was trained for; None: none."""
    specs = {quantizer.spec.activations for quantizer in quantizers(model).values()}
    return None if not specs else TRAINED[0] if specs == {True} else TRAINED[1]
