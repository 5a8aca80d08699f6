"""The one encoder of all four families, as a functional Keras model."""

from __future__ import annotations

import os
from typing import Any

import keras

from ..config import EncoderConfig
from ..errors import ConfigError
from ..layers import AttentionBias, Dense, TextEmbedding, TransformerBlock
from ..layers.initializers import weight_initializer
from .inputs import CheckedModel, model_inputs


@keras.saving.register_keras_serializable(package="keras_bert")
class Encoder(CheckedModel):
    """Token ids to contextual vectors.

    Inputs, int32 `[batch, length]`: `token_ids`, `padding_mask` (1 text, 0 padding), `segment_ids` (families with
    segments). Outputs: `sequence_output` `[batch, length, hidden_size]` and, with a pooler, `pooled_output`
    `[batch, hidden_size]`.

    Args:
        config: the shape; see `PRESETS`.
        dtype: Keras dtype policy of all layers; None takes the global one.

    Attributes:
        embeddings: `TextEmbedding`.
        blocks: the blocks with weights of their own; `schedule`: indices into them in order of execution.
        pooler: Dense, or None.
        hidden_states: symbolic outputs of the embedding and after each block run, to build models that read them.
    """

    def __init__(
        self, config: EncoderConfig, *, dtype: Any = None, name: str | None = "encoder", **kwargs: Any
    ) -> None:
        # === Layers ===
        embeddings = TextEmbedding(config, dtype=dtype, name="embeddings")
        attention_bias = AttentionBias(dtype=dtype, name="attention_bias")
        blocks = [
            TransformerBlock(config.of_block(i), dtype=dtype, name=f"block_{i}") for i in range(config.num_blocks)
        ]
        pooler = None
        if config.pooler:
            pooler = Dense(
                config.hidden_size,
                activation="tanh",
                kernel_initializer=weight_initializer(config.initializer_range),
                dtype=dtype,
                name="pooler",
            )

        # === Functional model ===
        inputs = model_inputs(config)
        x = embeddings(inputs["token_ids"], inputs.get("segment_ids"))
        bias = attention_bias(inputs["padding_mask"])
        hidden_states = [x]
        for index in config.block_schedule:
            x = blocks[index](x, bias)
            hidden_states.append(x)
        outputs = {"sequence_output": x}
        if pooler is not None:
            outputs["pooled_output"] = pooler(x[:, 0])
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)

        # === Config ===
        self.config = config
        self.embeddings, self.blocks, self.pooler = embeddings, blocks, pooler
        self.schedule = config.block_schedule
        self.hidden_states = tuple(hidden_states)
        self._bias = bias
        self._requested_dtype = dtype

    def text_vector(self, *, pooled: bool) -> Any:
        """What stands for the whole text, symbolic `[batch, hidden_size]`: the last hidden state of the first token, or
        with `pooled` the pooler's output of it.

        It is what the encoder's own outputs hold, but the last block computes keys and values for all tokens and
        everything else for the first alone: five sixths of its products fall away.

        Raises:
            ConfigError: `pooled`, and there is no pooler.
        """
        x = self.hidden_states[-2]
        first = self.blocks[self.schedule[-1]](x, self._bias, x[:, :1])[:, 0]
        if not pooled:
            return first
        if self.pooler is None:
            raise ConfigError("pooled: the encoder has no pooler; build it with pooler=True")
        return self.pooler(first)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], *, pooler: bool | None = None, **changes: Any) -> Encoder:
        """Read the encoder of a checkpoint directory (Hugging Face or Google TF1; found by what is in it).

        Args:
            path: the directory.
            pooler: build it with a pooler or without; None, as the checkpoint has it.
            changes: `dtype`, or fields of the `EncoderConfig` to change, such as `hidden_dropout`.

        Raises:
            CheckpointError: files or tensors are missing, left over, misshapen or broken; the message names them.
        """
        from ..checkpoints import load_encoder

        return load_encoder(cls, path, pooler=pooler, **changes)

    def save_pretrained(self, path: str | os.PathLike[str], *, tokenizer: Any = None) -> None:
        """Write a Hugging Face checkpoint: config.json, model.safetensors and, where given, the tokenizer."""
        from ..checkpoints import save

        save(self, path, tokenizer=tokenizer)

    def get_config(self) -> dict[str, Any]:
        dtype = keras.saving.serialize_keras_object(self._requested_dtype) if self._requested_dtype else None
        return {"config": self.config.to_dict(), "dtype": dtype, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Encoder:
        dtype = config["dtype"]
        if isinstance(dtype, dict):
            dtype = keras.saving.deserialize_keras_object(dtype)
        return cls(EncoderConfig.from_dict(config["config"]), dtype=dtype, name=config["name"])
