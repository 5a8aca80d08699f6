"""The steps between products, each one program forward and one back inside `fused_elementwise`.

XLA adds up columns slowly on a CPU: gradients of biases, scales and shifts are sums, by a product, of what a program
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
from .product import product, sum_of_rows


def activated(dense: Dense, function: Callable[[Any], Any], x: Any) -> Any:
    """`function(dense(x))`; the function, of a module, has one tensor."""
    if not is_fusing() or dense.quantizer is not None:
        return function(dense(x))
    import tensorflow as tf

    @tf.custom_gradient
    def run(x: Any, bias: Any) -> Any:
        def gradients(upstream: Any) -> tuple[Any, Any]:
            of_x = program(_activated_back, function=function)(upstream, x, bias)
            return of_x, sum_of_rows(of_x, bias.dtype)

        return program(_activated, function=function)(x, bias), gradients

    return run(product(x, dense.kernel), tf.convert_to_tensor(dense.bias))


def add_and_norm(
    norm: keras.layers.LayerNormalization,
    residual: Any,
    dense: Dense,
    x: Any,
    dropout: Dropout,
    training: bool | None,
) -> Any:
    """`norm(residual + dropout(dense(x)))`."""
    if not (is_fusing() and dropout.is_known(training)) or dense.quantizer is not None:
        return norm(residual + dropout(dense(x), training=training))
    import tensorflow as tf

    seeds, rate = dropout.seeds(training), dropout.rate

    @tf.custom_gradient
    def run(residual: Any, x: Any, bias: Any, scale: Any, shift: Any) -> Any:
        forward = program(_add_and_norm, rate=rate, epsilon=norm.epsilon, dtype=x.dtype)
        y, normal, spread = forward(residual, x, bias, scale, shift, *seeds)

        def gradients(upstream: Any) -> tuple[Any, ...]:
            backward = program(_add_and_norm_back, rate=rate, dtype=x.dtype)
            of_scale, of_residual, *dropped = backward(upstream, normal, spread, scale, *seeds)
            of_x = dropped[0] if dropped else of_residual
            sums = (sum_of_rows(v, like.dtype) for v, like in ((of_x, bias), (of_scale, scale), (upstream, shift)))
            return of_residual, of_x, *sums

        return y, gradients

    return run(*map(tf.convert_to_tensor, (residual, product(x, dense.kernel), dense.bias, norm.gamma, norm.beta)))


def normalized(norm: keras.layers.LayerNormalization, x: Any) -> Any:
    """`norm(x)`."""
    if not is_fusing():
        return norm(x)
    import tensorflow as tf

    @tf.custom_gradient
    def run(x: Any, scale: Any, shift: Any) -> Any:
        y, normal, spread = program(_norm, epsilon=norm.epsilon, dtype=x.dtype)(x, scale, shift)

        def gradients(upstream: Any) -> tuple[Any, ...]:
            of_scale, of_x = program(_norm_back, dtype=x.dtype)(upstream, normal, spread, scale)
            return of_x, *(sum_of_rows(v, like.dtype) for v, like in ((of_scale, scale), (upstream, shift)))

        return y, gradients

    return run(*map(tf.convert_to_tensor, (x, norm.gamma, norm.beta)))


def heads_of(dense: Dense, x: Any, heads: int, axes: tuple[int, ...] = (0, 2, 1, 3)) -> Any:
    """`dense(x)` as `[batch, length, heads, size]`, then in this order of axes; never a program."""
    return ops.transpose(ops.reshape(dense(x), (ops.shape(x)[0], -1, heads, dense.units // heads)), axes)


def split_heads(dense: Dense, x: Any, heads: int, scale: float = 1.0) -> Any:
    """`dense(x) * scale`, `[batch, length, heads * size]`, as `[batch, heads, length, size]`."""
    if not is_fusing() or dense.quantizer is not None:
        return heads_of(dense, x, heads) * scale
    import tensorflow as tf

    @tf.custom_gradient
    def run(x: Any, bias: Any) -> Any:
        def gradients(upstream: Any) -> tuple[Any, Any]:
            of_x = program(_split_heads_back, scale=scale)(upstream)
            return of_x, sum_of_rows(of_x, bias.dtype)

        return program(_split_heads, heads=heads, scale=scale)(x, bias), gradients

    return run(product(x, dense.kernel), tf.convert_to_tensor(dense.bias))


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
    residual: Any, x: Any, bias: Any, scale: Any, shift: Any, *seeds: Any, rate: float, epsilon: float, dtype: Any
) -> tuple[Any, ...]:
    residual, x, bias = wide(residual, x, bias)
    return _norm(residual + _drop(x + bias, seeds, rate), scale, shift, epsilon=epsilon, dtype=dtype)


def _norm(x: Any, scale: Any, shift: Any, *, epsilon: float, dtype: Any) -> tuple[Any, ...]:
    """Also what the way back reads: the values before scale and shift, and by what they were multiplied."""
    x, scale, shift = wide(x, scale, shift)
    x = x - ops.mean(x, axis=-1, keepdims=True)
    spread = ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + epsilon)
    x = x * spread
    return ops.cast(x * scale + shift, dtype), ops.cast(x, dtype), spread


def _add_and_norm_back(
    upstream: Any, normal: Any, spread: Any, scale: Any, *seeds: Any, rate: float, dtype: Any
) -> tuple[Any, ...]:
    """Gradients of the scale, before it is summed over the rows, of the residual and, where it differs, of `x`."""
    of_scale, of_residual = _norm_back(upstream, normal, spread, scale, dtype="float32")
    dropped = [ops.cast(drop_by_hash(of_residual, seed, rate), dtype) for seed in seeds]
    return of_scale, ops.cast(of_residual, dtype), *dropped


def _norm_back(upstream: Any, normal: Any, spread: Any, scale: Any, *, dtype: Any) -> tuple[Any, Any]:
    """Gradients of the scale, before it is summed over the rows, and of what was normalised."""
    upstream, normal, scale = wide(upstream, normal, scale)
    g = upstream * scale
    along = ops.mean(g * normal, axis=-1, keepdims=True)
    g = spread * (g - ops.mean(g, axis=-1, keepdims=True) - normal * along)
    return upstream * normal, ops.cast(g, dtype)


def _split_heads(x: Any, bias: Any, *, heads: int, scale: float) -> Any:
    wide_x, bias = wide(x, bias)
    split = ops.reshape((wide_x + bias) * scale, (*x.shape[:-1], heads, x.shape[-1] // heads))
    return ops.cast(ops.transpose(split, (0, 2, 1, 3)), x.dtype)


def _split_heads_back(upstream: Any, *, scale: float) -> Any:
    batch, heads, length, size = upstream.shape
    (wide_upstream,) = wide(upstream)
    merged = ops.reshape(ops.transpose(wide_upstream * scale, (0, 2, 1, 3)), (batch, length, heads * size))
    return ops.cast(merged, upstream.dtype)


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
