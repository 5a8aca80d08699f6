"""TFLite files to hold ours against: the encoder on `keras.layers.MultiHeadAttention`, and its matrix products alone.

Both have what ours have: a dynamic length in one signature, batch 1, no mask, dynamic-range int8 weights or float ones.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from .shapes import SHAPES, Shape, random_weights


def convert(
    function: Callable[..., Any],
    signature: Sequence[tf.TensorSpec],
    variables: Sequence[tf.Variable],
    path: Path,
    int8: bool,
) -> None:
    """Write `function` as a .tflite file of builtin operators only.

    Raises:
        RuntimeError: the file holds a custom or Flex operator.
    """
    module = tf.Module()
    module.kept = list(variables)
    call = tf.function(function, input_signature=list(signature), autograph=False)
    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(module, directory, signatures={"serving_default": call})
        converter = tf.lite.TFLiteConverter.from_saved_model(directory)
        if int8:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        content = converter.convert()
    operators = {operator["op_name"] for operator in Interpreter(model_content=content)._get_ops_details()}
    foreign = sorted(name for name in operators if name.startswith(("Flex", "CUSTOM")))
    if foreign:
        raise RuntimeError(f"{path.name} holds operators that are not builtin: {', '.join(foreign)}")
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(content)
    temporary.rename(path)


def multi_head_attention_encoder(shape: Shape, weights: dict[str, np.ndarray]) -> keras.Model:
    """The classifier as most Keras code writes it: MultiHeadAttention, LayerNormalization, [1, length, hidden]."""
    layers = keras.layers
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in ("token_ids", "segment_ids")}
    hidden_size, heads, head_size = shape.hidden_size, shape.num_heads, shape.head_size

    def norm(name: str) -> keras.layers.Layer:
        layer = layers.LayerNormalization(epsilon=shape.layer_norm_epsilon)
        layer.build((None, None, hidden_size))
        layer.set_weights([weights[f"{name}.gamma"], weights[f"{name}.beta"]])
        return layer

    def dense(name: str, activation: str | None = None) -> keras.layers.Layer:
        kernel = weights[f"{name}.kernel"]
        layer = layers.Dense(kernel.shape[1], activation=activation)
        layer.build((None, None, kernel.shape[0]))
        layer.set_weights([kernel, weights[f"{name}.bias"]])
        return layer

    def table(name: str, ids: keras.KerasTensor) -> keras.KerasTensor:
        layer = layers.Embedding(*weights[name].shape)
        layer.build()
        layer.set_weights([weights[name]])
        return layer(ids)

    def attention(name: str) -> keras.layers.Layer:
        layer = layers.MultiHeadAttention(heads, head_size)
        layer.build((None, None, hidden_size), (None, None, hidden_size))
        values = []
        for part in ("query", "key", "value"):
            values.append(weights[f"{name}.{part}.kernel"].reshape(hidden_size, heads, head_size))
            values.append(weights[f"{name}.{part}.bias"].reshape(heads, head_size))
        values.append(weights[f"{name}.out.kernel"].reshape(heads, head_size, hidden_size))
        layer.set_weights([*values, weights[f"{name}.out.bias"]])
        return layer

    positions = keras.ops.cumsum(keras.ops.ones_like(inputs["token_ids"]), axis=1) - 1
    x = table("word", inputs["token_ids"]) + table("position", positions) + table("segment", inputs["segment_ids"])
    x = norm("embeddings.norm")(x)
    for layer in range(shape.num_layers):
        x = norm(f"{layer}.attention_norm")(x + attention(f"{layer}")(x, x))
        wide = dense(f"{layer}.feedforward_in", "gelu")(x)
        x = norm(f"{layer}.output_norm")(x + dense(f"{layer}.feedforward_out")(wide))
    return keras.Model(inputs, dense("classifier")(dense("pooler", "tanh")(x[:, 0])))


def build_attention_peer(shape_name: str, path: Path, int8: bool, length: int | None = None) -> None:
    """Write the MultiHeadAttention classifier; inputs int32 [1, length] `token_ids`, `segment_ids`.

    A length of None stays dynamic, as in our files; a number makes the graph static, which suits this layout better.
    """
    shape = SHAPES[shape_name]
    model = multi_head_attention_encoder(shape, random_weights(shape))
    spec = [tf.TensorSpec([1, length], tf.int32, name=name) for name in ("token_ids", "segment_ids")]

    def call(token_ids: tf.Tensor, segment_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": model({"token_ids": token_ids, "segment_ids": segment_ids})}

    convert(call, spec, [variable.value for variable in model.variables], path, int8)


def build_matrix_products(shape_name: str, path: Path, int8: bool, first_token_only: bool) -> None:
    """Write the encoder's FULLY_CONNECTED operators, one fed by the other, and nothing else: the runtime's floor.

    Input float32 [length, hidden]. With `first_token_only` the last layer's query, output and feed-forward run on one
    row, which is all that a classifier reads.
    """
    shape = SHAPES[shape_name]
    weights = {name: tf.Variable(value) for name, value in random_weights(shape).items() if "." in name}

    def dense(name: str, x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, weights[f"{name}.kernel"]) + weights[f"{name}.bias"]

    def call(activations: tf.Tensor) -> dict[str, tf.Tensor]:
        x = activations
        for layer in range(shape.num_layers):
            for part in ("key", "value"):
                x = dense(f"{layer}.{part}", x)
            if first_token_only and layer == shape.num_layers - 1:
                x = x[:1]
            for part in ("query", "out", "feedforward_in", "feedforward_out"):
                x = dense(f"{layer}.{part}", x)
        return {"logits": dense("classifier", dense("pooler", x[:1]))}

    spec = [tf.TensorSpec([None, shape.hidden_size], tf.float32, name="activations")]
    convert(call, spec, list(weights.values()), path, int8)
