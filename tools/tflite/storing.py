"""Matrices and tables as a recipe stores them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from keras_bert.errors import ExportError

from .calibrate import InputStatistics, correct_bias
from .quantized import QuantizedMatrix, quantize_rows
from .ranges import ProductRanges, static_linear
from .recipes import Recipe
from .rounding import block_size_for, round_to_int4
from .weights import Linear


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
