"""FULLY_CONNECTED in each form that a matrix is stored in, at the versions of the operator that have it.

All were tried in LiteRT 2.3, with XNNPACK and without: int8 products that give int16 are accepted there and come out as
zeros, and those that give float32 or int32 are refused, so a static product gives int8.
"""

from __future__ import annotations

import numpy as np

from .operators import Subgraph
from .quantized import QuantizedMatrix, StaticGrids, pack_int4
from .schema import schema
from .subgraph import Matrix, Tensor

_INT32 = np.iinfo(np.int32)


def fully_connected(graph: Subgraph, x: Tensor, weights: Matrix, bias: np.ndarray) -> Tensor:
    """`x` [n, in] times the transpose of `weights` [out, in], plus `bias` [out]: float32 [n, out].

    float16 weights are widened once, when the runtime packs them. With integer weights the runtime quantises each row
    of `x` on the fly (asymmetric int8 over that row's range).
    """
    if not isinstance(weights, QuantizedMatrix):
        matrix = graph.constant(weights)
        matrix = graph.dequantized(matrix) if matrix.dtype == "float16" else matrix
        return _product(graph, [x, matrix, graph.floats(bias)], "float32", version=1)
    if not graph.newest_operators:
        return _scaled_product(graph, x, weights, bias)
    # 12: float inputs, integer weights with one scale a row; 13: with one scale a block.
    version = 13 if weights.block_size else 12
    matrix = integer_constant(graph, weights)
    return _product(graph, [x, matrix, graph.floats(bias)], "float32", version=version, asymmetricQuantizeInputs=True)


def static_product(
    graph: Subgraph, x: Tensor, weights: QuantizedMatrix, bias: np.ndarray, grids: StaticGrids
) -> Tensor:
    """The same in integers, from and to float32: see `StaticGrids`.

    The bias is int32, on the grid of the sums. The output's scales go into those of the matrix's rows.
    """
    scaled = x if np.all(grids.input_scale == 1) else graph.scaled(x, grids.input_scale)
    read = graph.quantized(scaled, grids.input)
    row_scales = (weights.scales / grids.output_scale).astype(np.float32)
    matrix = integer_constant(graph, QuantizedMatrix(weights.values, row_scales))
    sums = (np.float32(grids.input.scale) * row_scales).astype(np.float32)
    numbers = np.rint(bias.astype(np.float64) / grids.output_scale / sums)
    summand = graph.constant(np.clip(numbers, _INT32.min, _INT32.max).astype(np.int32), quantization=sums)
    product = _product(graph, [read, matrix, summand], "int8", version=5)  # 5: int8 with one scale a row
    graph.put_on_grid(product, grids.output)
    given = graph.dequantized(product)
    return given if np.all(grids.output_scale == 1) else graph.multiply(given, graph.floats(grids.output_scale))


def integer_constant(graph: Subgraph, weights: QuantizedMatrix) -> Tensor:
    """A constant int8 or int4 matrix with its scales; int4 lies two a byte, scales of blocks in a float16 tensor."""
    if weights.bits == 8:
        return graph.constant(weights)
    packed = pack_int4(weights.values)
    if not weights.block_size:
        return graph.constant(packed, quantization=weights.scales, dtype="int4", shape=weights.values.shape)
    scales = graph.constant(weights.scales.astype(np.float16))
    details = schema.BlockwiseQuantizationT()
    details.scales, details.zeroPoints, details.blockSize = scales.index, -1, weights.block_size
    return graph.constant(packed, details=details, dtype="int4", shape=weights.values.shape)


def _scaled_product(graph: Subgraph, x: Tensor, weights: QuantizedMatrix, bias: np.ndarray) -> Tensor:
    """`fully_connected` for runtimes that know one scale a matrix alone: a product at scale 1, then each row's own.

    The scales of the rows are a factor of the outputs, so that this is the same product, not a coarser one.
    """
    matrix = graph.constant(QuantizedMatrix(weights.values, np.ones(1, np.float32)))
    # 9: float inputs, int8 weights with one scale, asymmetric inputs
    product = _product(graph, [x, matrix], "float32", version=9, asymmetricQuantizeInputs=True)
    return graph.add(graph.multiply(product, graph.floats(weights.scales)), graph.floats(bias))


def _product(graph: Subgraph, inputs: list[Tensor], dtype: str, *, version: int, **fields: bool) -> Tensor:
    x, matrix = inputs[:2]
    shape = (*x.shape[:-1], matrix.shape[0])
    return graph.operator("FULLY_CONNECTED", inputs, shape, dtype, "FullyConnectedOptions", version=version, **fields)
