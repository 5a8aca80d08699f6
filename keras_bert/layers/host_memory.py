"""Weights in host memory that a backend takes over without another copy."""

from __future__ import annotations

import concurrent.futures
import math
import mmap
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

_ALIGNMENT = 64  # bytes; what TensorFlow and XLA ask of memory that is not their own
_BLOCK = 256  # rows and columns: a block in float32 and its padding stay in a core's second cache
_CHUNK = 1 << 23  # values: what is fetched, and in the end freed, at once; a multiple of the alignment
_SMALL = 1 << 14  # values: below this memory comes from what the process has
_PAGE = 1024  # values: a page of 4 kB


def aligned_array(shape: tuple[int, ...]) -> np.ndarray:
    """An uninitialised float32 array whose memory starts where every backend can use it."""
    size, spare = math.prod(shape), _ALIGNMENT // 4
    memory = np.empty(size + spare, np.float32)
    start = -memory.ctypes.data % _ALIGNMENT // 4
    return memory[start : start + size].reshape(shape)


class FetchedMemory:
    """Memory for arrays of known sizes, which threads make the operating system hand over while other work goes on.

    A fresh page costs more than the copying of what is written to it. A chunk at once needs the interpreter's lock
    once, where arrays one by one would wait for it as often as there are arrays.
    """

    def __init__(self, sizes: Iterable[int]) -> None:
        """Start fetching.

        Args:
            sizes: numbers of float32 values; the small ones are passed over.
        """
        self._parts: dict[int, list[tuple[concurrent.futures.Future, np.ndarray]]] = {}
        fetcher = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="memory")
        for chunk in _chunks(sizes):
            memory = _fresh(sum(map(_padded, chunk)))
            ready, start = fetcher.submit(_touch, memory), 0
            for size in chunk:
                self._parts.setdefault(size, []).append((ready, memory[start : start + size]))
                start += _padded(size)
        fetcher.shutdown(wait=False)

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """An uninitialised array, of what was fetched where there is some of that size left; from any thread."""
        try:
            ready, part = self._parts[math.prod(shape)].pop()
        except LookupError:
            return aligned_array(shape)
        ready.result()
        return part.reshape(shape)


def _fresh(size: int) -> np.ndarray:
    """Memory that starts on a page, of pages of the usual size: a machine that shares its memory with others has those
    at hand, and has to clear room for huge ones, which numpy asks for."""
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    memory = mmap.mmap(-1, 4 * size, **private)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, np.float32, size)


def _chunks(sizes: Iterable[int]) -> list[list[int]]:
    """The sizes that are not small, those of one list together about a chunk; the largest first."""
    chunks: list[list[int]] = []
    left = 0
    for size in sorted((size for size in sizes if size >= _SMALL), reverse=True):
        if left < size:
            chunks.append([])
            left = _CHUNK
        chunks[-1].append(size)
        left -= _padded(size)
    return chunks


def _padded(size: int) -> int:
    unit = _ALIGNMENT // 4
    return -(-size // unit) * unit


def _touch(memory: np.ndarray) -> None:
    memory[::_PAGE] = 0


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
