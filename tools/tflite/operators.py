"""The builtin TFLite operators that the inference graph is made of, one method an operator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .quantized import Grid, QuantizedMatrix
from .schema import schema
from .subgraph import TENSOR_TYPES, Matrix, Shape, Tensor, Tensors


class Subgraph(Tensors):
    """One graph of operators and its signature. A method that names an operator adds it and returns its output."""

    # === Lookup ===

    def lookup(self, row_ids: Tensor, table: Matrix) -> Tensor:
        """Rows of `table` [rows, width] at int32 `row_ids` [n]: float32 [n, width].

        EMBEDDING_LOOKUP refuses an id outside the table, where GATHER would read beyond it. Its own way to scale int8
        rows is four times slower than to copy them and multiply by their looked-up scales.
        """
        if isinstance(table, QuantizedMatrix):
            rows = self.cast(self._rows(row_ids, self.constant(table.values)), "float32")
            return self.multiply(rows, self._rows(row_ids, self.constant(table.scales[:, None])))
        rows = self._rows(row_ids, self.constant(table))
        return self.dequantized(rows) if rows.dtype == "float16" else rows

    def _rows(self, row_ids: Tensor, table: Tensor) -> Tensor:
        return self.operator("EMBEDDING_LOOKUP", [row_ids, table], (*row_ids.shape, table.shape[1]), table.dtype)

    # === Integers ===

    def not_equal(self, x: Tensor, value: int) -> Tensor:
        """int32 1 where `x` is not `value`, else 0."""
        unequal = self.operator("NOT_EQUAL", [x, self.integers([value])], x.shape, "bool", "NotEqualOptions")
        return self.cast(unequal, "int32")

    def cumulative_sum(self, x: Tensor, axis: int = 0) -> Tensor:
        """Sums along `axis` over the elements up to and with each one."""
        along = self.constant(np.asarray(axis, np.int32))
        return self.operator("CUMSUM", [x, along], x.shape, x.dtype, "CumsumOptions")

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        """`x` as `dtype`."""
        types = {"inDataType": TENSOR_TYPES[x.dtype], "outDataType": TENSOR_TYPES[dtype]}
        return self.operator("CAST", [x], x.shape, dtype, "CastOptions", **types)

    # === Grids ===

    def quantized(self, x: Tensor, grid: Grid) -> Tensor:
        """`x` as int8 numbers of `grid`; the same twice is one tensor."""
        return self._once(("quantized", x.index, grid), lambda: self._quantize(x, grid))

    def _quantize(self, x: Tensor, grid: Grid) -> Tensor:
        numbers = self.operator("QUANTIZE", [x], x.shape, "int8")
        self.put_on_grid(numbers, grid)
        return numbers

    def dequantized(self, x: Tensor) -> Tensor:
        """float16 values, or numbers on their grid, as float32; the same twice is one tensor."""
        return self._once(("dequantized", x.index), lambda: self.operator("DEQUANTIZE", [x], x.shape, "float32"))

    def put_on_grid(self, x: Tensor, grid: Grid) -> None:
        """Say what the numbers of `x` stand for."""
        parameters = schema.QuantizationParametersT()
        parameters.scale = np.full(1, grid.scale, np.float32)
        parameters.zeroPoint = np.full(1, grid.zero_point, np.int64)
        self.table.tensors[x.index].quantization = parameters

    # === Products ===

    def scaled(self, x: Tensor, factors: np.ndarray) -> Tensor:
        """`x` times a constant vector; the same twice is one tensor."""
        key = ("scaled", x.index, factors.tobytes())
        return self._once(key, lambda: self.multiply(x, self.floats(factors)))

    def batch_matmul(self, a: Tensor, b: Tensor, *, transpose_b: bool = False) -> Tensor:
        """Product over the last two axes of `a` and `b`, or `b`'s transpose."""
        columns = b.shape[-2] if transpose_b else b.shape[-1]
        options = {"adjX": False, "adjY": transpose_b}
        return self.operator("BATCH_MATMUL", [a, b], (*a.shape[:-1], columns), a.dtype, "BatchMatMulOptions", **options)

    # === Elementwise and reductions ===

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """`a + b`, broadcast."""
        return self._binary("ADD", a, b, "AddOptions")

    def subtract(self, a: Tensor, b: Tensor) -> Tensor:
        """`a - b`, broadcast."""
        return self._binary("SUB", a, b, "SubOptions")

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        """`a * b`, broadcast."""
        return self._binary("MUL", a, b, "MulOptions")

    def divide(self, a: Tensor, b: Tensor) -> Tensor:
        """`a / b`, broadcast."""
        return self._binary("DIV", a, b, "DivOptions")

    def maximum(self, a: Tensor, b: Tensor) -> Tensor:
        """The larger of `a` and `b`, broadcast."""
        return self._binary("MAXIMUM", a, b, "MaximumMinimumOptions")

    def mean(self, x: Tensor, axis: int) -> Tensor:
        """Mean over `axis`, which stays with size 1."""
        return self._reduce("MEAN", x, axis)

    def sum(self, x: Tensor, axis: int) -> Tensor:
        """Sum over `axis`, which stays with size 1."""
        return self._reduce("SUM", x, axis)

    def square(self, x: Tensor) -> Tensor:
        """`x * x`; runtimes fuse it with a mean that follows."""
        return self.operator("SQUARE", [x], x.shape, x.dtype, "SquareOptions")

    def rsqrt(self, x: Tensor) -> Tensor:
        """`1 / sqrt(x)`."""
        return self.operator("RSQRT", [x], x.shape, x.dtype)

    def tanh(self, x: Tensor) -> Tensor:
        """Hyperbolic tangent."""
        return self.operator("TANH", [x], x.shape, x.dtype)

    def relu(self, x: Tensor) -> Tensor:
        """`max(x, 0)`."""
        return self.operator("RELU", [x], x.shape, x.dtype)

    def sigmoid(self, x: Tensor) -> Tensor:
        """`1 / (1 + exp(-x))`."""
        return self.operator("LOGISTIC", [x], x.shape, x.dtype)

    def gelu(self, x: Tensor, *, approximate: bool) -> Tensor:
        """GELU by erf, or by tanh if `approximate`."""
        return self.operator("GELU", [x], x.shape, x.dtype, "GeluOptions", approximate=approximate)

    def softmax(self, x: Tensor) -> Tensor:
        """Softmax over the last axis."""
        return self.operator("SOFTMAX", [x], x.shape, x.dtype, "SoftmaxOptions", beta=1.0)

    # === Shape ===

    def reshape(self, x: Tensor, shape: Shape) -> Tensor:
        """`x` with another shape, in which at most one size is -1."""
        inputs = [x, self.integers(shape)]
        return self.operator("RESHAPE", inputs, tuple(shape), x.dtype, "ReshapeOptions", newShape=list(shape))

    def transpose(self, x: Tensor, order: Sequence[int]) -> Tensor:
        """`x` with its axes in `order`."""
        shape = tuple(x.shape[axis] for axis in order)
        return self.operator("TRANSPOSE", [x, self.integers(order)], shape, x.dtype, "TransposeOptions")

    def slice(self, x: Tensor, begin: Sequence[int], size: Sequence[int]) -> Tensor:
        """The part of `x` that starts at `begin`; a `size` of -1 goes to the end."""
        shape = tuple(
            wanted if wanted >= 0 else (have if have < 0 else have - start)
            for have, start, wanted in zip(x.shape, begin, size, strict=True)
        )
        return self.operator("SLICE", [x, self.integers(begin), self.integers(size)], shape, x.dtype, "SliceOptions")

    # === Inside ===

    def _binary(self, operator: str, a: Tensor, b: Tensor, options: str) -> Tensor:
        rank = max(len(a.shape), len(b.shape))
        left, right = ((1,) * (rank - len(x.shape)) + x.shape for x in (a, b))
        shape = tuple(y if x == 1 else x for x, y in zip(left, right, strict=True))
        return self.operator(operator, [a, b], shape, a.dtype, options)

    def _reduce(self, operator: str, x: Tensor, axis: int) -> Tensor:
        axis %= len(x.shape)
        shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
        return self.operator(operator, [x, self.integers([axis])], shape, x.dtype, "ReducerOptions", keepDims=True)
