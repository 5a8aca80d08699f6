"""How weights start: BERT's truncated normal, or zeros where a checkpoint is about to overwrite them."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import keras

_about_to_load = contextvars.ContextVar("about_to_load", default=False)


@contextlib.contextmanager
def about_to_load() -> Iterator[None]:
    """Build models inside without drawing random numbers: their weights are loaded right after."""
    token = _about_to_load.set(True)
    try:
        yield
    finally:
        _about_to_load.reset(token)


def weight_initializer(initializer_range: float) -> keras.initializers.Initializer:
    """Truncated normal (BERT paper's code: `create_initializer`, 0.02), or zeros inside `about_to_load`."""
    if _about_to_load.get():
        return keras.initializers.Zeros()
    return keras.initializers.TruncatedNormal(stddev=initializer_range)
