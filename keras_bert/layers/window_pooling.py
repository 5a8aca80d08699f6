"""From what a model says of each window of a document to what it says of the document."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ..config import EncoderConfig
from .attention import AttentionBias
from .initializers import weight_initializer
from .transformer import TransformerBlock

POOLINGS = ("mean", "max", "learned", "hierarchical")


@keras.saving.register_keras_serializable(package="keras_bert")
class WindowMixer(keras.layers.Layer):
    """Lets the windows of a document read each other: `[batch, windows, hidden_size]` to the same shape.

    One Transformer block over the windows' vectors, their places told by sinusoids (Transformer paper, section 3.5), so
    that any number of windows goes (Pappagari et al. 2019, "hierarchical transformers").
    """

    def __init__(self, config: EncoderConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.bias = AttentionBias(dtype=self.dtype_policy, name="bias")
        self.block = TransformerBlock(config, dtype=self.dtype_policy, name="block")

    def build(self, input_shape: tuple, mask_shape: tuple | None = None) -> None:
        self.block.build((None, None, self.config.hidden_size))

    def call(self, x: Any, mask: Any, training: bool | None = None) -> Any:
        places = ops.cast(sinusoids(ops.shape(x)[1], self.config.hidden_size), x.dtype)
        return self.block(x + places, self.bias(mask), training=training)


@keras.saving.register_keras_serializable(package="keras_bert")
class WindowPooling(keras.layers.Layer):
    """Logits of windows `[batch, windows, outputs]` to those of documents `[batch, outputs]`.

    Args:
        mode: `mean` or `max` over the windows, or `learned`: a mean with weights that a dense layer gives each window
            from its vector, `[batch, windows, hidden_size]`.
    """

    def __init__(self, config: EncoderConfig, mode: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config, self.mode = config, mode
        self.scorer = None
        if mode == "learned":
            self.scorer = keras.layers.Dense(
                1, kernel_initializer=weight_initializer(config.initializer_range), dtype="float32", name="scorer"
            )

    def build(self, *shapes: Any) -> None:
        if self.scorer is not None:
            self.scorer.build((None, None, self.config.hidden_size))

    def call(self, logits: Any, vectors: Any, mask: Any) -> Any:
        logits = ops.cast(logits, "float32")
        held = ops.expand_dims(ops.cast(mask, "float32"), -1)
        absent = (1 - held) * -1e9
        if self.mode == "max":
            return ops.max(logits + absent, axis=1)
        scores = absent if self.scorer is None else self.scorer(ops.cast(vectors, "float32")) + absent
        return ops.sum(logits * ops.softmax(scores, axis=1), axis=1)


def sinusoids(length: Any, size: int) -> Any:
    """Sine and cosine of each place at wavelengths from 2 pi to 20,000 pi: float32 [length, size]."""
    places = ops.expand_dims(ops.cast(ops.arange(length), "float32"), -1)
    rates = ops.exp(ops.arange(0, size, 2, dtype="float32") * (-9.210340371976184 / size))
    angles = places * rates
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)[:, :size]
