"""The steps between products, each one program forward and one back inside `fused_elementwise`.

XLA adds up columns slowly on a CPU: gradients of biases, scales and shifts are TensorFlow's sums of what a program
leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from .dense import Dense
from .dropout import Dropout, drop_by_hash
from .fusion import is_fusing, program, wide
from .product import product


def activated(dense: Dense, function: Callable[[Any], Any], x: Any) -> Any:
    """`function(dense(x))`; the function, of a module, has one tensor."""
    if not is_fusing() or dense.quantizer is not None:
        return function(dense(x))
    import tensorflow as tf

    @tf.custom_gradient
    def run(x: Any, bias: Any) -> Any:
        def gradients(upstream: Any) -> tuple[Any, Any]:
            of_x = program(_activated_back, function=function)(upstream, x, bias)
            return of_x, _sum_of_rows(of_x, bias.dtype)

        return program(_activated, function=function)(x, bias), gradients

    return run(product(x, dense.kernel), tf.convert_to_tensor(dense.bias))


def add_and_norm(
    norm: keras.layers.LayerNormalization, residual: Any, x: Any, dropout: Dropout, training: bool | None
) -> Any:
    """`norm(residual + dropout(x))`."""
    if not (is_fusing() and dropout.is_known(training)):
        return norm(residual + dropout(x, training=training))
    import tensorflow as tf

    seeds, rate = dropout.seeds(training), dropout.rate

    @tf.custom_gradient
    def run(residual: Any, x: Any, scale: Any, shift: Any) -> Any:
        forward = program(_add_and_norm, rate=rate, epsilon=norm.epsilon, dtype=x.dtype)
        y, normalized, spread = forward(residual, x, scale, shift, *seeds)

        def gradients(upstream: Any) -> tuple[Any, ...]:
            backward = program(_add_and_norm_back, rate=rate, dtype=x.dtype)
            of_scale, of_residual, *dropped = backward(upstream, normalized, spread, scale, *seeds)
            sums = (_sum_of_rows(v, scale.dtype) for v in (of_scale, upstream))
            return of_residual, *(dropped or [of_residual]), *sums

        return y, gradients

    return run(*map(tf.convert_to_tensor, (residual, x, norm.gamma, norm.beta)))


def softmax_and_drop(scores: Any, bias: Any, dropout: Dropout, training: bool | None) -> tuple[Any, Any]:
    """`softmax(scores + bias)` over the last axis, and what `dropout` leaves of it; inside `fused_elementwise` the
    second alone has gradients, and `bias` none."""
    if not (is_fusing() and dropout.is_known(training)):
        probabilities = ops.softmax(scores + bias, axis=-1)
        return probabilities, dropout(probabilities, training=training)
    import tensorflow as tf

    seeds, rate = dropout.seeds(training), dropout.rate
    probabilities = []

    @tf.custom_gradient
    def run(scores: Any) -> Any:
        found, *dropped = program(_softmax_and_drop, rate=rate, dtype=scores.dtype)(scores, bias, *seeds)
        probabilities.append(found)
        backward = program(_softmax_and_drop_back, rate=rate, dtype=scores.dtype)
        return dropped[0] if dropped else found, lambda upstream: backward(upstream, found, *seeds)

    kept = run(scores)
    return probabilities[0], kept


def _sum_of_rows(x: Any, dtype: Any) -> Any:
    """`[..., n]` to `[n]`, added up in float32."""
    return ops.cast(ops.sum(ops.cast(x, "float32"), axis=tuple(range(len(x.shape) - 1))), dtype)


def _activated(x: Any, bias: Any, *, function: Callable[[Any], Any]) -> Any:
    wide_x, bias = wide(x, bias)
    return ops.cast(function(wide_x + bias), x.dtype)


def _activated_back(upstream: Any, x: Any, bias: Any, *, function: Callable[[Any], Any]) -> Any:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = _activated(x, bias, function=function)
    return tape.gradient(y, x, output_gradients=upstream)


def _add_and_norm(
    residual: Any, x: Any, scale: Any, shift: Any, *seeds: Any, rate: float, epsilon: float, dtype: Any
) -> tuple[Any, ...]:
    """Also what the way back reads: the values before scale and shift, and by what they were multiplied."""
    residual, x, scale, shift = wide(residual, x, scale, shift)
    x = residual + _drop(x, seeds, rate)
    x = x - ops.mean(x, axis=-1, keepdims=True)
    spread = ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + epsilon)
    x = x * spread
    return ops.cast(x * scale + shift, dtype), ops.cast(x, dtype), spread


def _add_and_norm_back(
    upstream: Any, normalized: Any, spread: Any, scale: Any, *seeds: Any, rate: float, dtype: Any
) -> tuple[Any, ...]:
    """Gradients of the scale, before it is summed over the rows, of the residual and, where it differs, of `x`."""
    upstream, normalized, scale = wide(upstream, normalized, scale)
    g = upstream * scale
    along = ops.mean(g * normalized, axis=-1, keepdims=True)
    g = spread * (g - ops.mean(g, axis=-1, keepdims=True) - normalized * along)
    dropped = [ops.cast(drop_by_hash(g, seed, rate), dtype) for seed in seeds]
    return upstream * normalized, ops.cast(g, dtype), *dropped


def _softmax_and_drop(scores: Any, bias: Any, *seeds: Any, rate: float, dtype: Any) -> tuple[Any, ...]:
    """The probabilities and, where some are dropped, what is left of them."""
    scores, bias = wide(scores, bias)
    probabilities = ops.softmax(scores + bias, axis=-1)
    dropped = [ops.cast(drop_by_hash(probabilities, seed, rate), dtype) for seed in seeds]
    return ops.cast(probabilities, dtype), *dropped


def _softmax_and_drop_back(upstream: Any, probabilities: Any, *seeds: Any, rate: float, dtype: Any) -> Any:
    upstream, probabilities = wide(upstream, probabilities)
    g = _drop(upstream, seeds, rate)
    return ops.cast(probabilities * (g - ops.sum(g * probabilities, axis=-1, keepdims=True)), dtype)


def _drop(x: Any, seeds: Sequence[Any], rate: float) -> Any:
    return drop_by_hash(x, seeds[0], rate) if seeds else x
