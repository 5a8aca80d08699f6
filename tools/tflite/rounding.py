"""int4 matrices whose rounding looks at the data.

Rounding a weight to the nearest of 16 numbers is a large error. What counts is the error of the product, so the columns
are rounded one after the other and what each lost is made up for in those to come, as far as the inputs of the matrix
go together (GPTQ, Frantar et al. 2022, algorithm 1, with columns in the order of their inputs' size).
"""

from __future__ import annotations

import numpy as np

from .quantized import QuantizedMatrix, storable_block_scales

_TOP, _BOTTOM = 7, -8
_CLIPS = np.linspace(1.0, 0.5, 21)  # shares of the largest magnitude that get a number, tried for each scale
_BATCH = 64  # columns whose losses reach the columns after them together, in one product
_DAMPING = 0.01  # of the mean diagonal, added to it (the paper's)


def block_size_for(columns: int, block_size: int) -> int:
    """The block size of a matrix: `block_size` where it divides the columns, else 0, one scale a row."""
    return block_size if block_size and columns % block_size == 0 else 0


def best_clips(matrix: np.ndarray, weight: np.ndarray, block_size: int) -> np.ndarray:
    """Shares of the largest magnitude at which to clip each block: those with the smallest weighted squared error.

    Args:
        matrix: `[rows, columns]`. weight: of each column's errors, `[columns]`. block_size: 0 for whole rows.

    Returns:
        `[rows, blocks]`.
    """
    rows, columns = matrix.shape
    blocks = matrix.reshape(rows, -1, block_size or columns)
    weight = weight.reshape(1, *blocks.shape[1:])
    largest = np.abs(blocks).max(axis=-1, keepdims=True)
    largest[largest == 0] = 1
    best, clips = np.full(blocks.shape[:2], np.inf), np.ones(blocks.shape[:2])
    for clip in _CLIPS:
        scales = largest * (clip / _TOP)
        error = (weight * (np.clip(np.rint(blocks / scales), _BOTTOM, _TOP) * scales - blocks) ** 2).sum(axis=-1)
        clips[error < best] = clip
        best = np.minimum(error, best)
    return clips.astype(np.float32)


def int4_scales(matrix: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Scales `[rows, blocks]` of int4 numbers at `clips`."""
    blocks = matrix.reshape(*clips.shape, -1)
    scales = np.abs(blocks).max(axis=-1) * clips / _TOP
    scales[scales == 0] = 1
    return (storable_block_scales(scales) if clips.shape[1] > 1 else scales).astype(np.float32)


def round_to_int4(matrix: np.ndarray, products: np.ndarray, block_size: int) -> QuantizedMatrix:
    """`matrix` [rows, columns] as int4 numbers that give nearly its products with inputs such as were measured.

    Args:
        products: mean products of two input channels, `[columns, columns]`.
        block_size: columns that share a scale, a divisor of them; 0: all.
    """
    rows, columns = matrix.shape
    hessian = products.astype(np.float64)
    diagonal = np.diag(hessian).copy()
    scales = int4_scales(matrix, best_clips(matrix, np.maximum(diagonal, 1e-12 + diagonal.mean() * 1e-3), block_size))
    hessian[np.diag_indices(columns)] += max(_DAMPING * diagonal.mean(), 1e-10)
    order = np.argsort(-diagonal, kind="stable")
    inverse = np.linalg.inv(hessian[np.ix_(order, order)])
    upper = np.linalg.cholesky((inverse + inverse.T) / 2).T
    scale_of = np.repeat(scales, columns // scales.shape[1], axis=1)[:, order]
    left = matrix[:, order].astype(np.float64)
    values = np.empty((rows, columns), np.int8)
    for start in range(0, columns, _BATCH):
        end = min(start + _BATCH, columns)
        lost = np.zeros((rows, end - start))
        for column in range(start, end):
            scale = scale_of[:, column]
            number = np.clip(np.rint(left[:, column] / scale), _BOTTOM, _TOP)
            values[:, column] = number
            lost[:, column - start] = (left[:, column] - number * scale) / upper[column, column]
            left[:, column + 1 : end] -= np.outer(lost[:, column - start], upper[column, column + 1 : end])
        left[:, end:] -= lost @ upper[start:end, end:]
    unordered = np.empty_like(values)
    unordered[:, order] = values
    return QuantizedMatrix(unordered, scales if scales.shape[1] > 1 else scales[:, 0], bits=4)
