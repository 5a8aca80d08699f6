"""int8 matrices with one scale a row."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class QuantizedMatrix:
    """A matrix stored as int8 `values` [rows, columns] times float32 `scales` [rows] (symmetric, zero point 0)."""

    values: np.ndarray
    scales: np.ndarray

    def dequantize(self) -> np.ndarray:
        """The float32 matrix that the runtime computes with."""
        return self.values.astype(np.float32) * self.scales[:, None]


def quantize_rows(matrix: np.ndarray) -> QuantizedMatrix:
    """Round each row of `matrix` [rows, columns] to int8 with that row's own scale, its largest magnitude / 127."""
    scales = (np.abs(matrix).max(axis=1) / 127).astype(np.float32)
    scales[scales == 0] = 1.0
    values = np.clip(np.rint(matrix / scales[:, None]), -127, 127).astype(np.int8)
    return QuantizedMatrix(values, scales)
