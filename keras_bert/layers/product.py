"""The matrix product of all layers with weights, and sums of rows as one."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def product(x: Any, kernel: Any) -> Any:
    """`[..., n]` by `[n, m]`, as `ops.matmul`.

    Where sizes are unknown Keras takes TensorFlow's `tensordot`, which finds the shapes in more operations: 26 where
    these are 17, with their gradients 38 and 27, each of which takes its time when a model is traced.
    """
    if keras.backend.backend() != "tensorflow" or len(x.shape) < 3 or None not in x.shape:
        return ops.matmul(x, kernel)
    import tensorflow as tf

    kernel = ops.convert_to_tensor(kernel)
    y = tf.matmul(tf.reshape(x, (-1, kernel.shape[0])), kernel)
    y = tf.reshape(y, tf.concat([tf.shape(x)[:-1], kernel.shape[1:]], axis=0))
    y.set_shape((*x.shape[:-1], kernel.shape[1]))
    return y


def tied_product(x: Any, table: Any) -> Any:
    """`[..., n]` by the transpose of a table `[m, n]`.

    TensorFlow reads the table as it lies, and its gradient comes as it lies; a transpose of it would be a pass over
    both.
    """
    if keras.backend.backend() != "tensorflow" or None in x.shape:
        return product(x, ops.transpose(table))
    import tensorflow as tf

    y = tf.matmul(tf.reshape(x, (-1, x.shape[-1])), table, transpose_b=True)
    return tf.reshape(y, (*x.shape[:-1], table.shape[0]))


def product_of_rows(x: Any, y: Any) -> Any:
    """`[..., n, k]` by the transpose of `[..., m, k]`, read as it lies; on TensorFlow alone."""
    import tensorflow as tf

    return tf.matmul(x, y, transpose_b=True)


def sum_of_rows(x: Any, dtype: Any) -> Any:
    """`[..., n]` to `[n]` of a `dtype`, added up in float32; on TensorFlow alone.

    A product with ones: over axes that lead a CPU's sum takes up to seven times as long.
    """
    import tensorflow as tf

    # Products of bfloat16 are added up in float32, those of float16 are not everywhere.
    x = x if x.dtype == dtype == tf.bfloat16 else tf.cast(x, tf.float32)
    rows = tf.reshape(x, (-1, x.shape[-1]))
    return tf.cast(tf.matmul(tf.ones((1, tf.shape(rows)[0]), x.dtype), rows)[0], dtype)
