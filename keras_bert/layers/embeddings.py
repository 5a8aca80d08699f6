"""Token, position and segment tables, summed and normalised; ALBERT's projection to the hidden size."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np
from keras import ops

from ..config import EncoderConfig
from .dense import Dense
from .dropout import Dropout
from .initializers import weight_initializer
from .pieces import normalized
from .scope import scoped

_CHANGE: contextvars.ContextVar[Callable[[Any], Any] | None] = contextvars.ContextVar(
    "changed_embeddings", default=None
)


def changed_embeddings(change: Callable[[Any], Any]) -> AbstractContextManager[None]:
    """Inside, a `TextEmbedding` that is called goes on with `change(sum of its tables)`, in the shape and dtype of the
    sum, `[batch, length, embedding_size]`."""
    return scoped(_CHANGE, change)


@keras.saving.register_keras_serializable(package="keras_bert")
class TextEmbedding(keras.layers.Layer):
    """`[batch, length]` int32 ids to `[batch, length, hidden_size]` (BERT paper, section 3, figure 2).

    Attributes:
        token_table: `[vocab_size, embedding_size]`, also the decoder of the masked-language-model head.
        position_table: `[position_rows, embedding_size]`.
        segment_table: `[num_segments, embedding_size]`, or None.
        norm: LayerNorm over `embedding_size`.
        projection: Dense to `hidden_size` where the embedding is factorised (ALBERT), or None.
    """

    def __init__(self, config: EncoderConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.norm = keras.layers.LayerNormalization(
            epsilon=config.layer_norm_epsilon, dtype=self.dtype_policy, name="norm"
        )
        self.dropout = Dropout(config.hidden_dropout, dtype=self.dtype_policy)
        self.projection = None
        if config.embedding_size != config.hidden_size:
            self.projection = Dense(
                config.hidden_size,
                kernel_initializer=weight_initializer(config.initializer_range),
                dtype=self.dtype_policy,
                name="projection",
            )

    def build(self, input_shape: Any = None) -> None:
        config = self.config
        self.token_table = self._table("token_table", config.vocab_size)
        fixed = config.sinusoidal_positions
        self.position_table = self._table("position_table", config.position_rows, Sinusoids() if fixed else None)
        self.position_table.trainable = not fixed
        self.segment_table = self._table("segment_table", config.num_segments) if config.num_segments else None
        self.norm.build((None, None, config.embedding_size))
        if self.projection is not None:
            self.projection.build((None, None, config.embedding_size))

    def _table(self, name: str, rows: int, initializer: keras.initializers.Initializer | None = None) -> keras.Variable:
        # No autocast: under mixed precision the rows that are looked up are cast, not the whole table.
        return self.add_weight(
            name=name,
            shape=(rows, self.config.embedding_size),
            initializer=initializer or weight_initializer(self.config.initializer_range),
            autocast=False,
        )

    def call(
        self, token_ids: Any, segment_ids: Any = None, position_ids: Any = None, training: bool | None = None
    ) -> Any:
        """`position_ids`: each token's place in its text from 0, where several texts share a row; None counts them."""
        x = ops.take(self.token_table, token_ids, axis=0)
        if position_ids is None:
            x = x + self._positions(token_ids)
        else:
            x = x + ops.take(self.position_table, position_ids + self.config.position_offset, axis=0)
        if segment_ids is not None:
            x = x + ops.take(self.segment_table, segment_ids, axis=0)
        elif self.segment_table is not None:
            x = x + self.segment_table[0]
        change = _CHANGE.get()
        if change is not None:
            x = change(x)
        x = normalized(self.norm, ops.cast(x, self.compute_dtype))
        x = self.dropout(x, training=training)
        return x if self.projection is None else self.projection(x)

    def _positions(self, token_ids: Any) -> Any:
        """Rows 0, 1, ... for all; RoBERTa counts tokens that are not padding (transformers,
        `create_position_ids_from_input_ids`): row offset for the first one, row offset - 1 for padding."""
        offset = self.config.position_offset
        if not offset:
            return ops.expand_dims(self.position_table[: ops.shape(token_ids)[1]], 0)
        real = ops.cast(ops.not_equal(token_ids, self.config.pad_token_id), "int32")
        return ops.take(self.position_table, ops.cumsum(real, axis=1) * real + (offset - 1), axis=0)

    def compute_output_shape(
        self,
        token_ids_shape: tuple,
        segment_ids_shape: tuple | None = None,
        position_ids_shape: tuple | None = None,
    ) -> tuple:
        return (*token_ids_shape, self.config.hidden_size)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "config": self.config.to_dict()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TextEmbedding:
        return cls(**{**config, "config": EncoderConfig.from_dict(config["config"])})


class Sinusoids(keras.initializers.Initializer):
    """`[rows, width]`: sines in even columns, cosines in odd ones (Transformer paper, section 3.5)."""

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        rows, width = shape
        columns = np.arange(width)
        angles = np.arange(rows)[:, None] / np.power(10000, 2 * (columns // 2) / width)
        return ops.convert_to_tensor(np.where(columns % 2 == 0, np.sin(angles), np.cos(angles)), dtype=dtype)
