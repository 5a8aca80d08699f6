"""How a file's weights are stored, by name, and how far its outputs may then be from the Keras model's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from keras_bert.errors import ExportError

from .calibrate import InputStatistics, correct_bias
from .quantized import QuantizedMatrix, quantize_rows
from .ranges import ProductRanges, static_linear
from .rounding import block_size_for, round_to_int4
from .weights import Linear, Weights, map_matrices

# The logits are what users read: this small matrix is int8 with float outputs in every integer recipe.
_LAST = "head.classifier"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One way to store matrices and tables; biases and LayerNorms are float32 in all of them.

    Attributes:
        matrices: `float32`, `float16`; `int8` or `int4`, with inputs quantised on the fly; `static`: int8 products with
            grids fixed before.
        tables: `float32`, `float16` or `int8`, one scale a row.
        tolerance: largest relative error allowed, rms(file - Keras) / rms(Keras) over all outputs.
        agreement: smallest share of decided choices (of a label, a token) that must be Keras's.
        block_size: columns of an int4 matrix that share a scale; 0: all.
        kept: names of matrices that are int8 where the others are int4 or static.
    """

    name: str
    matrices: str
    tables: str
    tolerance: float
    agreement: float
    block_size: int = 0
    kept: frozenset[str] = frozenset()

    @property
    def folded(self) -> bool:
        """Whether the graph's foldings are done; grids are those of what the Keras layers read and give."""
        return self.matrices != "static"

    @property
    def calibrated(self) -> bool:
        """Whether channels are evened out and biases corrected by what matrices read (`calibrate`)."""
        return self.matrices in ("int8", "int4")

    def kind(self, name: str, columns: int) -> str:
        """How the matrix `name` with that many columns is stored: one of the values of `matrices`."""
        odd = self.matrices == "int4" and columns % 2  # two numbers share a byte, and no row begins inside one
        special = self.matrices in ("int4", "static") and (name in self.kept or name == _LAST)
        return "int8" if odd or special else self.matrices

    def matrix_bytes(self, name: str, rows: int, columns: int) -> int:
        """Bytes of a matrix, its scales and zero points included."""
        count, kind = rows * columns, self.kind(name, columns)
        if kind in ("float32", "float16"):
            return _BYTES[kind] * count
        if kind == "static":  # scales of the matrix and of the bias, and two vectors of factors
            return count + 24 * rows + 4 * (rows + columns)
        if kind == "int4":
            block = block_size_for(columns, self.block_size)
            return count // 2 + (2 * count // block if block else 12 * rows)
        return count + 12 * rows

    def table_bytes(self, rows: int, columns: int) -> int:
        """Bytes of a table, its scales included."""
        return _BYTES[self.tables] * rows * columns + (4 * rows if self.tables == "int8" else 0)


_BYTES = {"float32": 4, "float16": 2, "int8": 1}

# The tolerances leave room above what was measured on real text: float32 differs by the order of additions alone (1e-6,
# growing with depth); float16 keeps 11 bits of a weight (measured 3e-4 to 1e-3); int8 keeps 8 bits of weights and of
# activations (measured 0.02 on fine-tuned models, up to 0.08 on random weights, whose logits hardly vary).
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("float32", "float32", "float32", tolerance=1e-4, agreement=1.0),
        Recipe("float16", "float16", "float16", tolerance=5e-3, agreement=1.0),
        Recipe("dynamic_int8", "int8", "int8", tolerance=0.15, agreement=0.97),
        Recipe("static_int8", "static", "int8", tolerance=0.4, agreement=0.9),
        Recipe("int4", "int4", "int8", tolerance=0.5, agreement=0.9, block_size=32),
        Recipe("mixed", "int4", "int8", tolerance=0.3, agreement=0.95, block_size=32),
    )
}


def store(
    weights: Weights,
    recipe: Recipe,
    statistics: Mapping[str, InputStatistics] | None = None,
    ranges: Mapping[str, ProductRanges] | None = None,
) -> Weights:
    """`weights` with matrices and tables as `recipe` stores them; see `stored_linear`.

    Raises:
        ExportError: a value does not fit the type.
    """
    stored = map_matrices(weights, lambda linear: stored_linear(linear, recipe, statistics, ranges))
    tables = (weights.token_table, weights.position_table)
    token_table, position_table = (stored_table(table, recipe) for table in tables)
    return dataclasses.replace(stored, token_table=token_table, position_table=position_table)


def stored_linear(
    linear: Linear,
    recipe: Recipe,
    statistics: Mapping[str, InputStatistics] | None = None,
    ranges: Mapping[str, ProductRanges] | None = None,
) -> Linear:
    """`linear` as `recipe` stores it; one whose matrix is a table stays.

    Args:
        statistics: of what the matrices read, to correct the biases of quantised ones by; int4 needs them, products
            of channels included.
        ranges: of what they read and give, which static products need.
    """
    if linear.matrix is None:
        return linear
    kind = recipe.kind(linear.name, linear.matrix.shape[1])
    if kind == "static":
        assert ranges is not None
        return static_linear(linear, ranges[linear.name])
    if kind == "int4":
        assert statistics is not None
        found = statistics[linear.name]
        assert found.products is not None
        block = block_size_for(linear.matrix.shape[1], recipe.block_size)
        matrix: object = round_to_int4(linear.matrix, found.products, block)
    else:
        matrix = _STORE[kind](linear.matrix)
    bias = linear.bias
    if statistics is not None and isinstance(matrix, QuantizedMatrix):
        bias = correct_bias(linear, matrix, statistics[linear.name])
    return dataclasses.replace(linear, matrix=matrix, bias=bias)


def stored_table(table: np.ndarray, recipe: Recipe) -> object:
    """A table as `recipe` stores it."""
    return _STORE[recipe.tables](table)


def _as_float16(matrix: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        stored = matrix.astype(np.float16)
    if not np.isfinite(stored).all():
        raise ExportError(f"a weight of {np.abs(matrix).max():.3g} does not fit float16: choose another recipe")
    return stored


_STORE = {"float32": lambda matrix: matrix, "float16": _as_float16, "int8": quantize_rows}
