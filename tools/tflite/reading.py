"""A Keras model's weights read as the flat inference graph wants them: matrices `[out, in]`, foldings done."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from keras_bert.errors import ExportError

from .folding import folded, read_normalized
from .weights import Block, Linear, Norm, Weights


def read_weights(model: Any, *, fold: bool = True) -> Weights:
    """The weights of a task model, float32.

    Args:
        fold: whether the foldings of `folding` are done.

    Raises:
        ExportError: a weight holds NaN or infinity.
    """
    encoder = model.encoder
    embeddings = encoder.embeddings
    embedding_norm = _norm(embeddings.norm, "embeddings.norm")
    projection = None
    if embeddings.projection is not None:
        projection = _linear(embeddings.projection, "embeddings.projection")
        projection = read_normalized(projection, embedding_norm) if fold else projection
    segment_table = None
    if embeddings.segment_table is not None:
        segment_table = _array(embeddings.segment_table, "embeddings.segment_table")
    position_table = _array(embeddings.position_table, "embeddings.position_table")
    if segment_table is not None and encoder.config.num_segments == 1:  # the one row is added to every token
        position_table, segment_table = position_table + segment_table[0], None

    output_norms = [_norm(block.output_norm, f"blocks.{i}.output_norm") for i, block in enumerate(encoder.blocks)]
    before: dict[int, set[int | str]] = {}
    previous: int | str = "projection" if projection is not None else "embeddings"
    for index in encoder.schedule:
        before.setdefault(index, set()).add(previous)
        previous = index
    blocks = []
    for index, block in enumerate(encoder.blocks):
        sources = before[index]
        source = next(iter(sources)) if len(sources) == 1 else None
        norm = embedding_norm if source == "embeddings" else output_norms[source] if isinstance(source, int) else None
        blocks.append(_block(block, f"blocks.{index}", output_norms[index]))
        if fold:
            blocks[-1] = folded(blocks[-1], encoder.config.num_heads, norm)

    final_norm = output_norms[encoder.schedule[-1]]
    return Weights(
        config=encoder.config,
        token_table=_array(embeddings.token_table, "embeddings.token_table"),
        position_table=position_table,
        segment_table=segment_table,
        embedding_norm=embedding_norm,
        projection=projection,
        blocks=tuple(blocks),
        schedule=tuple(encoder.schedule),
        head=_head(model, final_norm if fold else None),
        head_activation=_head_activation(model),
        final_norm=final_norm,
        decoder_norm=_norm(model.head.norm, "head.norm") if model.task == "masked_lm" else None,
        folded=fold,
    )


def _block(block: Any, name: str, output_norm: Norm) -> Block:
    attention = block.attention
    query, key, value, out = (
        _linear(getattr(attention, part), f"{name}.attention.{part}") for part in ("query", "key", "value", "out")
    )
    return Block(
        query=query,
        key=key,
        value=value,
        out=out,
        attention_norm=_norm(block.attention_norm, f"{name}.attention_norm"),
        feedforward_in=_linear(block.feedforward_in, f"{name}.feedforward_in"),
        feedforward_out=_linear(block.feedforward_out, f"{name}.feedforward_out"),
        output_norm=output_norm,
        reads_normalized=False,
    )


def _head_activation(model: Any) -> str | None:
    if model.task != "sequence_classification":
        return None
    return model.head.hidden_activation or "tanh"  # without a dense layer of the head's own it is the pooler's


def _head(model: Any, final_norm: Norm | None) -> dict[str, Linear]:
    """The head's matrices in order of use; which of them a task has shows in their names.

    Args:
        final_norm: to be folded into the first of them, or None.
    """
    layers: dict[str, Any] = {}
    if model.task == "sequence_classification":
        layers["dense"] = model.encoder.pooler if model.head.dense is None else model.head.dense
        layers["classifier"] = model.head.classifier
    elif model.task in ("token_classification", "question_answering"):
        layers["classifier"] = model.head.classifier
    elif model.task == "masked_lm":
        layers["dense"] = model.head.dense
    head = {name: _linear(layer, f"head.{name}") for name, layer in layers.items()}
    for first in list(head)[:1]:
        if final_norm is not None:
            head[first] = read_normalized(head[first], final_norm)
    if model.task == "masked_lm":
        # The matrix is the token table, which the graph already has.
        head["decoder"] = Linear("head.decoder", None, _array(model.head.bias, "head.bias"))
    return head


def _linear(dense: Any, name: str) -> Linear:
    return Linear(
        name, np.ascontiguousarray(_array(dense.kernel, f"{name}.kernel").T), _array(dense.bias, f"{name}.bias")
    )


def _norm(layer: Any, name: str) -> Norm:
    return Norm(_array(layer.gamma, f"{name}.gamma"), _array(layer.beta, f"{name}.beta"), float(layer.epsilon))


def _array(variable: Any, name: str) -> np.ndarray:
    array = np.asarray(ops.convert_to_numpy(variable)).astype(np.float32)
    if not np.isfinite(array).all():
        raise ExportError(f"the weight {name} holds NaN or infinity: there is nothing to export")
    return array
