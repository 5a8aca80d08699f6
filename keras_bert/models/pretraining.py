"""The network of pretraining: a model's own layers, with the masked positions gathered before the vocabulary."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from .inputs import model_inputs


def pretraining_network(model: Any, *, packed: bool = False, rematerialize: bool = False) -> keras.Model:
    """`token_ids`, `padding_mask`, `segment_ids`, `masked_positions`, `sentence_positions` to logits by name."""
    inputs = model_inputs(model.config)
    features = {**inputs, "masked_positions": keras.Input((None,), dtype="int32", name="masked_positions")}
    hidden = model.encoder(inputs)
    rows = ops.take_along_axis(hidden["sequence_output"], ops.expand_dims(features["masked_positions"], -1), axis=1)
    outputs = {"mlm_logits": model.head(rows, model.encoder.embeddings.token_table)}
    if model.sentence_head is not None:
        features["sentence_positions"] = keras.Input((None,), dtype="int32", name="sentence_positions")
        outputs["sentence_logits"] = ops.expand_dims(model.sentence_head(hidden["pooled_output"]), 1)
    return keras.Model(features, outputs)
