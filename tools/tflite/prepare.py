"""A model's weights rearranged for the inference graph, and each matrix as a recipe stores it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_bert.layers import FakeQuantizer
from keras_bert.layers.fake_quantization import weight_scales
from keras_bert.models.quantization import quantizers

from .calibrate import InputStatistics, equalize, measure_inputs
from .folding import for_one_query
from .graph import FlatGraph
from .quantized import QuantizedMatrix, storable_block_scales
from .ranges import ProductRanges, measure_ranges, static_linear
from .reading import read_weights
from .recipes import Recipe
from .storing import stored_linear, stored_table
from .weights import Linear, Weights, linears_of, map_matrices

TABLES = ("embeddings.token_table", "embeddings.position_table")


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """What a file is made of.

    Attributes:
        weights: float32, rearranged in real arithmetic alone.
        stored: each matrix and table as the file has it, by name.
        statistics: of what the matrices read, where the recipe asks for them; without products, which are large.
    """

    weights: Weights
    stored: Mapping[str, Any]
    statistics: Mapping[str, InputStatistics] | None = None

    def assemble(self, names: Collection[str] | None = None) -> Weights:
        """The weights with `names` as the file stores them, all by default, and the others float32."""
        chosen = self.stored if names is None else {name: self.stored[name] for name in names}
        tables = {name.partition(".")[2]: table for name, table in chosen.items() if name in TABLES}
        return dataclasses.replace(map_matrices(self.weights, lambda linear: chosen.get(linear.name, linear)), **tables)


def stored_again(prepared: Prepared, recipe: Recipe) -> Prepared:
    """The same weights as another recipe stores them, from what was measured already.

    Args:
        prepared: of a model that does not round. recipe: one that needs no texts of its own.
    """
    return dataclasses.replace(
        prepared, stored=_all_stored(prepared.weights, recipe, lambda x: stored_linear(x, recipe, prepared.statistics))
    )


def prepare(
    model: Any,
    recipe: Recipe,
    calibration: Sequence[Mapping[str, np.ndarray]],
    add_task: Callable[[FlatGraph], object],
) -> Prepared:
    """Measure what the recipe needs and store every matrix.

    Ranges and scales of a model that rounds (`FakeQuantizer`) are those it was trained with.

    Args:
        calibration: model inputs, int32 [1, length] each.
        add_task: adds the operators of the model's task to a graph.

    Raises:
        ExportError: a weight that is not finite or does not fit the recipe.
    """
    trained = quantizers(model)
    statistics: Mapping[str, InputStatistics] | None = None
    ranges: Mapping[str, ProductRanges] | None = None
    if trained or not recipe.folded:
        weights = read_weights(model, fold=False)
        if not trained:
            ranges = measure_ranges(weights, calibration, add_task)
    else:
        weights = read_weights(model)
        if recipe.calibrated:
            weights = equalize(weights, measure_inputs(weights, calibration, add_task))
        if model.task == "sequence_classification" or getattr(model, "pooling", None) == "cls":
            weights = for_one_query(weights)
        if recipe.calibrated:
            products = recipe.matrices == "int4"
            statistics = measure_inputs(weights, calibration, add_task, products=products)

    def stored(linear: Linear) -> Linear:
        if linear.name in trained:
            return _as_trained(linear, trained[linear.name])
        return stored_linear(linear, recipe, statistics, ranges)

    kept = statistics and {name: dataclasses.replace(each, products=None) for name, each in statistics.items()}
    return Prepared(weights, _all_stored(weights, recipe, stored), kept)


def _all_stored(weights: Weights, recipe: Recipe, stored: Callable[[Linear], Linear]) -> dict[str, Any]:
    """Each matrix as `stored` has it and each table as `recipe` has it, by name."""
    matrices = {name: stored(linear) for name, linear in linears_of(weights).items()}
    return matrices | {name: stored_table(getattr(weights, name.partition(".")[2]), recipe) for name in TABLES}


def _as_trained(linear: Linear, quantizer: FakeQuantizer) -> Linear:
    """`linear`, the layer's own, on the grids that its training saw."""
    spec = quantizer.spec
    scale = _array(quantizer.input_scale) if spec.activations else np.ones(linear.matrix.shape[1], np.float32)
    clip = ops.convert_to_tensor(quantizer.clip)
    kernel = np.ascontiguousarray(linear.matrix.T) / scale[:, None]
    scales = _array(weight_scales(ops.convert_to_tensor(kernel), clip, spec.weight_bits)).T
    if scales.shape[1] > 1:
        scales = storable_block_scales(scales)
    top = 2 ** (spec.weight_bits - 1) - 1
    blocks = kernel.T.reshape(*scales.shape, -1) / scales[..., None]
    values = np.clip(np.rint(blocks), -top if spec.weight_bits == 8 else -8, top).astype(np.int8)
    matrix = QuantizedMatrix(
        values.reshape(linear.matrix.shape), scales if scales.shape[1] > 1 else scales[:, 0], spec.weight_bits
    )
    if not spec.activations:
        return dataclasses.replace(linear, matrix=matrix)
    bounds = [tuple(_array(quantizer.bounds(side)).tolist()) for side in ("input", "output")]
    ranges = ProductRanges(scale, _array(quantizer.output_scale), *bounds)
    return dataclasses.replace(static_linear(linear, ranges), matrix=matrix)


def _array(value: Any) -> np.ndarray:
    return np.array(ops.convert_to_numpy(value), np.float32)
