"""How a file's weights are stored, by name, and how far its outputs may then be from the Keras model's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from keras_bert.errors import ExportError

from .calibrate import InputStatistics, correct_bias
from .quantized import QuantizedMatrix, quantize_rows
from .weights import Linear, Weights, map_matrices


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One way to store matrices and tables; biases and LayerNorms are float32 in all of them.

    Attributes:
        store: a float32 matrix `[rows, columns]` to what is stored.
        bytes_per_weight: of a matrix or table.
        bytes_per_matrix_row, bytes_per_table_row: beside the weights; a scale, and in matrices a zero point.
        calibrated: whether channels are evened out and biases corrected by what matrices read (`calibrate`).
        tolerance: largest relative error allowed, rms(file - Keras) / rms(Keras) over all outputs.
        agreement: smallest share of decided choices (of a label, a token) that must be Keras's.
    """

    name: str
    store: Callable[[np.ndarray], object]
    bytes_per_weight: int
    bytes_per_matrix_row: int
    bytes_per_table_row: int
    calibrated: bool
    tolerance: float
    agreement: float


def _as_float16(matrix: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        stored = matrix.astype(np.float16)
    if not np.isfinite(stored).all():
        raise ExportError(f"a weight of {np.abs(matrix).max():.3g} does not fit float16: choose another recipe")
    return stored


# The tolerances leave room above what was measured on real text: float32 differs by the order of additions alone (1e-6,
# growing with depth); float16 keeps 11 bits of a weight (measured 3e-4 to 1e-3); int8 keeps 8 bits of weights and of
# activations (measured 0.02 on fine-tuned models, up to 0.08 on random weights, whose logits hardly vary).
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("float32", lambda matrix: matrix, 4, 0, 0, False, tolerance=1e-4, agreement=1.0),
        Recipe("float16", _as_float16, 2, 0, 0, False, tolerance=5e-3, agreement=1.0),
        Recipe("dynamic_int8", quantize_rows, 1, 12, 4, True, tolerance=0.15, agreement=0.97),
    )
}


def store(weights: Weights, recipe: Recipe, statistics: Mapping[str, InputStatistics] | None = None) -> Weights:
    """`weights` with matrices and tables as `recipe` stores them.

    Args:
        statistics: of what the matrices read, to correct the biases of quantised ones by.

    Raises:
        ExportError: a value does not fit the type.
    """

    def stored(linear: Linear) -> Linear:
        if linear.matrix is None:
            return linear
        matrix = recipe.store(linear.matrix)
        bias = linear.bias
        if statistics is not None and isinstance(matrix, QuantizedMatrix):
            bias = correct_bias(linear, matrix, statistics[linear.name])
        return dataclasses.replace(linear, matrix=matrix, bias=bias)

    return dataclasses.replace(
        map_matrices(weights, stored),
        token_table=recipe.store(weights.token_table),
        position_table=recipe.store(weights.position_table),
    )
