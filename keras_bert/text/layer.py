"""The preprocessing layer: strings in, model inputs out."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
import tokenizers

from ..errors import TokenizerError
from ..tokenizers import Tokenizer
from ..tokenizers.batching import Padding
from ..tokenizers.joining import read_template
from ..tokenizers.special_tokens import ROLE_NAMES
from .joining import join_and_pad
from .pipeline import GraphTokenizer


@keras.saving.register_keras_serializable(package="keras_bert")
class TextPreprocessor(keras.layers.Layer):
    """Strings `[batch]`, or two such for pairs, to `token_ids`, `padding_mask`, `segment_ids`, int32 `[batch, length]`.

    What `Tokenizer.__call__` does on the host, in TensorFlow ops: for tf.data and for models that take strings. The
    differences are listed in `keras_bert.text`.

    Args:
        tokenizer: WordPiece or Unigram.
        max_length: longer texts are cut to as many tokens, special ones included, `longest_first`; None cuts nothing.
        padding: fill rows up to the longest of the batch, or to `max_length` (a static shape).

    Attributes:
        tokenizer: the host tokenizer.
        ids: `GraphTokenizer`; strings `[batch]` to ragged ids without special tokens.

    Raises:
        MissingExtraError: tensorflow-text is not installed (extra `text`).
        TokenizerError: a tokenizer that the graph cannot follow (byte-level BPE, for one), padding to `max_length`
            without one, or one that leaves no room for the special tokens.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, max_length: int | None = None, padding: Padding = "longest", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        # Strings are nothing that Keras could convert or cast.
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        if padding not in ("longest", "max_length"):
            raise TokenizerError(f"padding must be 'longest' or 'max_length', got {padding!r}")
        if padding == "max_length" and max_length is None:
            raise TokenizerError("padding to 'max_length' needs max_length")
        self.tokenizer, self.max_length, self.padding = tokenizer, max_length, padding
        self.ids = GraphTokenizer(tokenizer)
        backend = tokenizers.Tokenizer.from_str(tokenizer.to_json())
        self._templates = [read_template(backend, count) for count in (1, 2)]
        self.built = True

    def call(self, texts: Any, pairs: Any = None) -> dict[str, tf.Tensor]:
        columns = [texts] if pairs is None else [texts, pairs]
        sequences = [self.ids(_strings(column)) for column in columns]
        return join_and_pad(
            self._templates[len(columns) - 1],
            sequences,
            pad_id=self.tokenizer.pad_id,
            max_length=self.max_length,
            length=self.max_length if self.padding == "max_length" else None,
        )

    def get_config(self) -> dict[str, Any]:
        roles = {role: self.tokenizer.role_token(role) for role in ROLE_NAMES}
        return {
            **super().get_config(),
            "tokenizer": self.tokenizer.to_json(),
            "family": self.tokenizer.family,
            "roles": {role: token for role, token in roles.items() if token is not None},
            "max_length": self.max_length,
            "padding": self.padding,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TextPreprocessor:
        config = dict(config)
        text, family, roles = (config.pop(name) for name in ("tokenizer", "family", "roles"))
        return cls(Tokenizer.from_json(text, family=family, names=roles), **config)


def _strings(texts: Any) -> tf.Tensor:
    """A string tensor [batch].

    Raises:
        TokenizerError: another type or shape.
    """
    texts = tf.convert_to_tensor(texts)
    if texts.dtype != tf.string or texts.shape.rank != 1:
        raise TokenizerError(f"expected strings of shape [batch], got {texts.dtype.name} of shape {texts.shape}")
    return texts
