"""Task heads: the few layers between the encoder and the logits."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ..config import EncoderConfig
from .dense import Dense
from .dropout import Dropout
from .initializers import weight_initializer
from .pieces import activated, normalized
from .product import tied_product
from .transformer import activation


@keras.saving.register_keras_serializable(package="keras_bert")
class ClassificationHead(keras.layers.Layer):
    """`[..., hidden_size]` to logits `[..., num_outputs]`: [dropout, dense, activation,] dropout, classifier.

    Args:
        hidden_activation: `tanh` (RoBERTa) or `relu` (DistilBERT) puts a dense layer before the classifier; None not.
        input_dropout: dropout before that dense layer too (RoBERTa).

    Attributes:
        dense: Dense `hidden_size -> hidden_size` with its activation, or None.
        classifier: Dense `hidden_size -> num_outputs`.
    """

    def __init__(
        self,
        config: EncoderConfig,
        num_outputs: int,
        *,
        dropout: float = 0.0,
        hidden_activation: str | None = None,
        input_dropout: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config, self.num_outputs = config, num_outputs
        self.hidden_activation, self.input_dropout = hidden_activation, input_dropout
        self.dropout = Dropout(dropout, dtype=self.dtype_policy)
        self.dense = None
        if hidden_activation:
            self.dense = Dense(
                config.hidden_size,
                activation=hidden_activation,
                kernel_initializer=weight_initializer(config.initializer_range),
                dtype=self.dtype_policy,
                name="dense",
            )
        self.classifier = Dense(
            num_outputs,
            kernel_initializer=weight_initializer(config.initializer_range),
            dtype=self.dtype_policy,
            name="classifier",
        )

    def build(self, input_shape: tuple) -> None:
        for layer in (self.dense, self.classifier):
            if layer is not None:
                layer.build((None, self.config.hidden_size))

    def call(self, x: Any, training: bool | None = None) -> Any:
        if self.dense is not None:
            if self.input_dropout:
                x = self.dropout(x, training=training)
            x = self.dense(x)
        return self.classifier(self.dropout(x, training=training))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], self.num_outputs)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "config": self.config.to_dict(),
            "num_outputs": self.num_outputs,
            "dropout": self.dropout.rate,
            "hidden_activation": self.hidden_activation,
            "input_dropout": self.input_dropout,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ClassificationHead:
        return cls(**{**config, "config": EncoderConfig.from_dict(config["config"])})


@keras.saving.register_keras_serializable(package="keras_bert")
class MaskedLMHead(keras.layers.Layer):
    """Hidden states `[..., hidden_size]` to vocabulary logits `[..., vocab_size]`, decoder tied to the token table.

    dense to `embedding_size`, activation, LayerNorm, product with the token table, bias (BERT's reference code,
    `get_masked_lm_output`; in ALBERT the dense layer narrows to the embedding size).

    Attributes:
        dense, norm: the transform. bias: `[vocab_size]`.
    """

    def __init__(self, config: EncoderConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.dense = Dense(
            config.embedding_size,
            kernel_initializer=weight_initializer(config.initializer_range),
            dtype=self.dtype_policy,
            name="dense",
        )
        self.activation = activation(config.activation)
        self.norm = keras.layers.LayerNormalization(
            epsilon=config.layer_norm_epsilon, dtype=self.dtype_policy, name="norm"
        )

    def build(self, x_shape: tuple, token_table_shape: tuple | None = None) -> None:
        self.dense.build((None, self.config.hidden_size))
        self.norm.build((None, self.config.embedding_size))
        self.bias = self.add_weight(name="bias", shape=(self.config.vocab_size,), initializer="zeros")

    def call(self, x: Any, token_table: Any) -> Any:
        return self.products(x, token_table) + self.bias

    def products(self, x: Any, token_table: Any) -> Any:
        """The logits before the bias is added."""
        x = normalized(self.norm, activated(self.dense, self.activation, x))
        return tied_product(x, ops.cast(token_table, x.dtype))

    def compute_output_shape(self, x_shape: tuple, token_table_shape: tuple | None = None) -> tuple:
        return (*x_shape[:-1], self.config.vocab_size)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "config": self.config.to_dict()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MaskedLMHead:
        return cls(**{**config, "config": EncoderConfig.from_dict(config["config"])})


@keras.saving.register_keras_serializable(package="keras_bert")
class Pooling(keras.layers.Layer):
    """`[batch, length, hidden_size]` to one vector a text `[batch, hidden_size]`.

    Args:
        mode: `mean` over the tokens that are not padding, or `cls`, the first token.
        normalize: scale each vector to length 1.
    """

    def __init__(self, mode: str = "mean", normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mode, self.normalize = mode, normalize

    def call(self, x: Any, padding_mask: Any) -> Any:
        if self.mode == "cls":
            pooled = x[:, 0]
        else:
            # In float32: half precision cannot add up the vectors of a long text.
            mask = ops.expand_dims(ops.cast(padding_mask, "float32"), -1)
            total = ops.sum(ops.cast(x, "float32") * mask, axis=1)
            pooled = ops.cast(total / ops.maximum(ops.sum(mask, axis=1), 1), x.dtype)
        return ops.normalize(pooled, axis=-1) if self.normalize else pooled

    def compute_output_shape(self, x_shape: tuple, padding_mask_shape: tuple | None = None) -> tuple:
        return (x_shape[0], x_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mode": self.mode, "normalize": self.normalize}
