"""Integer matrices, and the grids of products that are integer throughout."""

from __future__ import annotations

import dataclasses

import numpy as np

_FLOAT16_LIMIT = 65504.0


@dataclasses.dataclass(frozen=True, eq=False)
class QuantizedMatrix:
    """A matrix stored as whole numbers times scales (symmetric, zero point 0).

    Attributes:
        values: int8 `[rows, columns]`; from -8 to 7 where `bits` is 4.
        scales: float32 `[rows]`, or `[rows, blocks]` where the columns fall into blocks with scales of their own.
    """

    values: np.ndarray
    scales: np.ndarray
    bits: int = 8

    @property
    def block_size(self) -> int:
        """Columns that share a scale; 0: all of a row."""
        return 0 if self.scales.ndim == 1 else self.values.shape[1] // self.scales.shape[1]

    def dequantize(self) -> np.ndarray:
        """The float32 matrix that the runtime computes with."""
        rows, columns = self.values.shape
        blocks = self.values.reshape(rows, -1, self.block_size or columns).astype(np.float32)
        return (blocks * self.scales.reshape(rows, -1, 1)).reshape(rows, columns)


@dataclasses.dataclass(frozen=True)
class Grid:
    """The numbers that an int8 tensor stands for: `scale * (value - zero_point)`."""

    scale: float
    zero_point: int


@dataclasses.dataclass(frozen=True, eq=False)
class StaticGrids:
    """How an integer product `x W^T + b` reads and gives floats, fixed before it runs.

    `x * input_scale` is put on the grid `input`, the stored matrix is that of `W / input_scale`, the product comes on
    the grid `output` and is multiplied by `output_scale`: vectors `[in]` and `[out]`, float32.
    """

    input: Grid
    output: Grid
    input_scale: np.ndarray
    output_scale: np.ndarray


def quantize_rows(matrix: np.ndarray) -> QuantizedMatrix:
    """Round each row of `matrix` [rows, columns] to int8 with that row's own scale, its largest magnitude / 127."""
    scales = (np.abs(matrix).max(axis=1) / 127).astype(np.float32)
    scales[scales == 0] = 1.0
    values = np.clip(np.rint(matrix / scales[:, None]), -127, 127).astype(np.int8)
    return QuantizedMatrix(values, scales)


def storable_block_scales(scales: np.ndarray) -> np.ndarray:
    """The scales of blocks, float32, rounded to what every runtime reads alike.

    A file stores them as float16, of which XNNPACK keeps the 8 leading bits of bfloat16: those are all that is kept.
    """
    scales = np.clip(scales.astype(np.float32), 2.0**-14, _FLOAT16_LIMIT)
    bits = scales.view(np.uint32)
    return ((bits + 0x8000) & np.uint32(0xFFFF0000)).view(np.float32)


def pack_int4(values: np.ndarray) -> np.ndarray:
    """Numbers from -8 to 7, two a byte, the first in the lower half: uint8 [half as many]."""
    pairs = values.reshape(-1, 2).astype(np.uint8) & 15
    return pairs[:, 0] | (pairs[:, 1] << 4)
