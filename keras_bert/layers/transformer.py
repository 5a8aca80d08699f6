"""One Transformer block: self-attention and feed-forward, each with a residual and LayerNorm after it."""

from __future__ import annotations

import functools
import math
from typing import Any

import keras
from keras import ops

from ..config import EncoderConfig
from .attention import SelfAttention
from .dense import Dense
from .dropout import Dropout
from .fusion import is_compiled_on_cpu
from .initializers import weight_initializer
from .pieces import activated, add_and_norm


def activation(name: str) -> Any:
    """The function of an `EncoderConfig.activation`: erf GELU, tanh GELU (GELU paper, section 2) or ReLU."""
    return _ACTIVATIONS[name]


def gelu(x: Any) -> Any:
    """`x` times the normal distribution's share below `x` (GELU paper, section 2).

    TensorFlow's own is by erfc, which takes XLA twice the time of erf on a CPU. By erf what lies far below 0 has the
    absolute precision of `x`, not its relative one: in float32 alone that is enough.
    """
    if not is_compiled_on_cpu() or keras.backend.standardize_dtype(x.dtype) != "float32":
        return ops.gelu(x, approximate=False)
    return 0.5 * x * (1 + ops.erf(x * math.sqrt(0.5)))


_ACTIVATIONS = {
    "gelu": gelu,
    "gelu_tanh": functools.partial(ops.gelu, approximate=True),
    "relu": ops.relu,
}


@keras.saving.register_keras_serializable(package="keras_bert")
class TransformerBlock(keras.layers.Layer):
    """`[batch, length, hidden_size]` to the same shape, post-LayerNorm (Transformer paper, section 3.1).

    Attributes:
        attention: `SelfAttention`; attention_norm: LayerNorm after its residual.
        feedforward_in, feedforward_out: Dense `hidden_size -> intermediate_size -> hidden_size`.
        output_norm: LayerNorm after the second residual.
    """

    def __init__(self, config: EncoderConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        policy = self.dtype_policy
        self.attention = SelfAttention(config, dtype=policy, name="attention")
        self.attention_norm, self.output_norm = (
            keras.layers.LayerNormalization(epsilon=config.layer_norm_epsilon, dtype=policy, name=name)
            for name in ("attention_norm", "output_norm")
        )
        self.feedforward_in, self.feedforward_out = (
            Dense(size, kernel_initializer=weight_initializer(config.initializer_range), dtype=policy, name=name)
            for size, name in ((config.intermediate_size, "feedforward_in"), (config.hidden_size, "feedforward_out"))
        )
        self.activation = activation(config.activation)
        self.dropout = Dropout(config.hidden_dropout, dtype=policy)

    def build(self, input_shape: tuple) -> None:
        shape = (None, None, self.config.hidden_size)
        for layer in (self.attention, self.attention_norm, self.feedforward_in, self.output_norm):
            layer.build(shape)
        self.feedforward_out.build((None, None, self.config.intermediate_size))

    def call(self, x: Any, attention_bias: Any, queries: Any = None, training: bool | None = None) -> Any:
        """`queries`: the rows of `x` that are wanted, `[batch, queries, hidden_size]`; None for all of them."""
        context = self.attention.context(x, attention_bias, queries, training=training)[0]
        x = x if queries is None else queries
        x = add_and_norm(self.attention_norm, x, self.attention.out, context, self.dropout, training)
        hidden = activated(self.feedforward_in, self.activation, x)
        return add_and_norm(self.output_norm, x, self.feedforward_out, hidden, self.dropout, training)

    def compute_output_shape(
        self, x_shape: tuple, attention_bias_shape: tuple | None = None, queries_shape: tuple | None = None
    ) -> tuple:
        return queries_shape or x_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "config": self.config.to_dict()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TransformerBlock:
        return cls(**{**config, "config": EncoderConfig.from_dict(config["config"])})
