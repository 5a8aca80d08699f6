"""How weights start: BERT's truncated normal, or straight from a checkpoint without being drawn first."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np

from .host_memory import FetchedMemory, take_over


def weight_initializer(initializer_range: float) -> keras.initializers.Initializer:
    """Truncated normal (BERT paper's code: `create_initializer`, 0.02)."""
    return keras.initializers.TruncatedNormal(stddev=initializer_range)


class StartingValues:
    """Which weights start from given values; the others are drawn as ever.

    Values are read by two threads, each value by one of them, while Keras makes the variables.
    """

    def __init__(self, memory: FetchedMemory) -> None:
        self._memory = memory
        self._reader = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="weights")
        self._error: Exception | None = None

    def give(self, variable: keras.Variable, write: Callable[[np.ndarray], None]) -> None:
        """Let `variable` start from what `write` puts into the float32 array that it is called with."""
        reading = self._reader.submit(self._written, tuple(variable.shape), write)

        def initializer(shape: tuple[int, ...], dtype: Any = None) -> Any:
            if self._error is None:
                try:
                    return keras.ops.cast(take_over(reading.result()), dtype)
                except Exception as error:
                    self.fail(error)
            return keras.ops.zeros(shape, dtype)

        # Keras has no public way to choose the values of a variable that has no memory yet.
        variable._initializer = initializer

    def fail(self, error: Exception) -> None:
        """Read no more; `close` raises the first error."""
        self._error = self._error or error
        self._reader.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """Raise what a `write` raised: not at once, since Keras would be left with half of its variables."""
        self._reader.shutdown()
        if self._error is not None:
            raise self._error

    def _written(self, shape: tuple[int, ...], write: Callable[[np.ndarray], None]) -> np.ndarray:
        values = self._memory.take(shape)
        write(values)
        return values


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Thousands of new objects that all stay make Python search everything for garbage, longer than building takes."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def about_to_load(sizes: Iterable[int] = ()) -> Iterator[StartingValues]:
    """Build models inside and give their weights values; they start at the end, each in memory of its own.

    A weight that is drawn, or set to zero, and then overwritten costs its memory twice and more time than reading it.

    Args:
        sizes: of the weights that will be given values, as far as they are known: their memory is fetched meanwhile.
    """
    values = StartingValues(FetchedMemory(sizes))
    with _no_garbage_collection():
        try:
            with keras.StatelessScope(initialize_variables=False):
                yield values
        except Exception as error:
            values.fail(error)
        finally:
            with keras.StatelessScope():  # at whose end Keras starts all variables that wait
                pass
            values.close()
