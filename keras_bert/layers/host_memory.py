"""Weights in host memory that a backend takes over without another copy."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

_ALIGNMENT = 64  # bytes; what TensorFlow and XLA ask of memory that is not their own
_BLOCK = 256  # rows and columns: a block in float32 and its padding stay in a core's second cache


def aligned_array(shape: tuple[int, ...]) -> np.ndarray:
    """An uninitialised float32 array whose memory starts where every backend can use it."""
    size, spare = math.prod(shape), _ALIGNMENT // 4
    memory = np.empty(size + spare, np.float32)
    start = -memory.ctypes.data % _ALIGNMENT // 4
    return memory[start : start + size].reshape(shape)


def write_transposed(matrix: np.ndarray, out: np.ndarray) -> None:
    """Write the transpose of `matrix` `[rows, columns]` to `out` `[columns, rows]`.

    Block by block, through rows a little longer than a power of two: the columns of a matrix whose rows are a multiple
    of 4 kB all want the same few lines of the cache, and `out[:] = matrix.T` takes four times as long.
    """
    buffer = np.empty((_BLOCK, _BLOCK + 16), np.float32)
    rows, columns = matrix.shape
    for i in range(0, rows, _BLOCK):
        for j in range(0, columns, _BLOCK):
            block = matrix[i : i + _BLOCK, j : j + _BLOCK]
            padded = buffer[: block.shape[0], : block.shape[1]]
            padded[:] = block
            out[j : j + _BLOCK, i : i + _BLOCK] = padded.T


def take_over(array: np.ndarray) -> Any:
    """An `aligned_array` as a tensor of the backend; nothing may write to it afterwards."""
    if keras.backend.backend() == "tensorflow" and array.size:
        import tensorflow as tf

        # `convert_to_tensor` would copy.
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return keras.ops.convert_to_tensor(array)
