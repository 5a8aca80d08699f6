"""The dense layers of a model by name, and what a training for integers has taught them."""

from __future__ import annotations

from typing import Any

from ..layers import Dense, FakeQuantizer


def dense_layers(model: Any) -> dict[str, Dense]:
    """The dense layers that a task model's outputs pass through, by where they stand: `blocks.0.attention.query`.

    The pooler is `head.dense` where the head reads it.
    """
    encoder = model.encoder
    named: dict[str, Any] = {"embeddings.projection": encoder.embeddings.projection}
    for index, block in enumerate(encoder.blocks):
        for part in ("query", "key", "value", "out"):
            named[f"blocks.{index}.attention.{part}"] = getattr(block.attention, part)
        for part in ("feedforward_in", "feedforward_out"):
            named[f"blocks.{index}.{part}"] = getattr(block, part)
    for part in ("dense", "classifier"):
        named[f"head.{part}"] = getattr(model.head, part, None)
    if model.task == "sequence_classification" and named["head.dense"] is None:
        named["head.dense"] = encoder.pooler
    return {name: layer for name, layer in named.items() if layer is not None}


def quantizers(model: Any) -> dict[str, FakeQuantizer]:
    """What the dense layers of a task model that round have for it, by name; of a bare encoder none."""
    if not hasattr(model, "encoder"):
        return {}
    named = dense_layers(model)
    return {name: layer.quantizer for name, layer in named.items() if layer.quantizer is not None}
