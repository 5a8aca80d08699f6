"""Multi-head self-attention from four plain Dense layers."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from ..config import EncoderConfig
from .dense import Dense
from .dropout import Dropout
from .fusion import is_fusing
from .initializers import weight_initializer
from .pieces import heads_of, softmax_and_drop, split_heads
from .product import product_of_rows


def attention_bias(visible: Any, dtype: str) -> Any:
    """Which tokens are seen (1 or True) to what is added to their scores: 0, or so little that softmax gives 0."""
    # Finite, so that a row of padding alone gives no NaN; float16 ends at 65504.
    hidden = -3e4 if dtype == "float16" else -1e9
    return (1 - ops.cast(visible, dtype)) * hidden


@keras.saving.register_keras_serializable(package="keras_bert")
class AttentionBias(keras.layers.Layer):
    """Padding mask `[batch, length]` (1 text, 0 padding) to a bias `[batch, 1, 1, length]` added to the scores."""

    def call(self, padding_mask: Any) -> Any:
        # Two expand_dims, not [:, None, None, :]: a strided slice with new axes breaks TFLite conversion at dynamic
        # length.
        return attention_bias(ops.expand_dims(ops.expand_dims(padding_mask, 1), 1), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], 1, 1, input_shape[1])


@keras.saving.register_keras_serializable(package="keras_bert")
class SelfAttention(keras.layers.Layer):
    """`[batch, length, hidden_size]` to the same shape (Transformer paper, section 3.2.2).

    Attributes:
        query, key, value: Dense layers `hidden_size -> attention_size`, heads side by side in the columns.
        out: Dense layer `attention_size -> hidden_size`.
    """

    def __init__(self, config: EncoderConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.query, self.key, self.value, self.out = (
            Dense(
                size,
                kernel_initializer=weight_initializer(config.initializer_range),
                dtype=self.dtype_policy,
                name=name,
            )
            for name, size in (
                ("query", config.attention_size),
                ("key", config.attention_size),
                ("value", config.attention_size),
                ("out", config.hidden_size),
            )
        )
        self.dropout = Dropout(config.attention_dropout, dtype=self.dtype_policy)

    def build(self, input_shape: tuple) -> None:
        for dense in (self.query, self.key, self.value):
            dense.build((None, None, self.config.hidden_size))
        self.out.build((None, None, self.config.attention_size))

    def call(self, x: Any, attention_bias: Any, queries: Any = None, training: bool | None = None) -> Any:
        return self.attend(x, attention_bias, queries, training=training)[0]

    def attend(self, x: Any, attention_bias: Any, queries: Any = None, training: bool | None = None) -> tuple[Any, Any]:
        """The output `[batch, queries, hidden_size]` and the probabilities `[batch, heads, queries, length]`.

        `attention_bias` is added to the scores; any shape that broadcasts to theirs. `queries` are the rows of `x` that
        look, `[batch, queries, hidden_size]`; None for all of them.
        """
        context, probabilities = self.context(x, attention_bias, queries, training=training)
        return self.out(context), probabilities

    def context(
        self, x: Any, attention_bias: Any, queries: Any = None, training: bool | None = None
    ) -> tuple[Any, Any]:
        """What `attend` gives to `out`, `[batch, queries, attention_size]`, and the probabilities."""
        config = self.config
        queries = x if queries is None else queries
        heads = config.num_heads
        scale = 1 / math.sqrt(config.attention_size // heads)
        if is_fusing():
            query, key, value = (
                split_heads(dense, rows, heads, factor)
                for dense, rows, factor in ((self.query, queries, scale), (self.key, x, 1.0), (self.value, x, 1.0))
            )
            scores = product_of_rows(query, key)
        else:
            query, value = heads_of(self.query, queries, heads) * scale, heads_of(self.value, x, heads)
            scores = ops.matmul(query, heads_of(self.key, x, heads, (0, 2, 3, 1)))
        probabilities, kept = softmax_and_drop(scores, attention_bias, self.dropout, training)
        context = ops.transpose(ops.matmul(kept, value), (0, 2, 1, 3))
        return ops.reshape(context, (ops.shape(x)[0], -1, config.attention_size)), probabilities

    def compute_output_shape(
        self, x_shape: tuple, attention_bias_shape: tuple | None = None, queries_shape: tuple | None = None
    ) -> tuple:
        return queries_shape or x_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "config": self.config.to_dict()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SelfAttention:
        return cls(**{**config, "config": EncoderConfig.from_dict(config["config"])})
