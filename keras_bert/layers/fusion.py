"""What lies between the matrix products, each piece one XLA program, while TensorFlow computes the products.

XLA's products on a CPU know no bfloat16 instructions, and TensorFlow's other operations read and write their tensors
one after the other, in 16 bits slowly. Inside `fused_elementwise` a piece is one pass or two, in float32 over what it
reads. Elsewhere, and on other backends, the pieces are ordinary operations.
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import Any

import keras
from keras import ops

from .scope import scoped

_ON: contextvars.ContextVar[bool] = contextvars.ContextVar("fused_elementwise", default=False)
_COMPILED: contextvars.ContextVar[bool] = contextvars.ContextVar("compiled_on_cpu", default=False)


def fused_elementwise(on: bool = True) -> AbstractContextManager[None]:
    """Inside, pieces are XLA programs where the backend is TensorFlow; shapes must be known when they are traced."""
    return scoped(_ON, on)


def compiled_on_cpu(on: bool = True) -> AbstractContextManager[None]:
    """Inside, what is traced is for XLA on a CPU, and what it would compute slowly is written otherwise."""
    return scoped(_COMPILED, on)


def is_compiled_on_cpu() -> bool:
    """Whether what is traced here is for XLA on a CPU; pieces always are."""
    return _COMPILED.get() or is_fusing()


def is_fusing() -> bool:
    """Whether pieces are programs here."""
    return _ON.get() and keras.backend.backend() == "tensorflow"


@functools.cache
def program(function: Callable[..., Any], /, **settings: Hashable) -> Callable[..., Any]:
    """The function, of a module, with these settings as one XLA program, made once."""
    import tensorflow as tf

    return tf.function(functools.partial(function, **settings), jit_compile=True, autograph=False)


def wide(*tensors: Any) -> list[Any]:
    """Floats as float32, integers as they are."""
    return [ops.cast(x, "float32") if keras.backend.is_float_dtype(x.dtype) else x for x in tensors]
