"""A Keras model's weights as the flat inference graph wants them: matrices `[out, in]`, exact foldings done.

What is folded, all of it exact in real arithmetic:
- `1 / sqrt(head size)` into the query weights;
- the scale and shift of a LayerNorm into the matrices that read its output (`W (g*n + b) = (W g) n + W b`), so that
  they read the bare normalised values, whose channels are more alike (Outlier Suppression, Wei et al. 2022, "gamma
  migration"), and the shift into the bias that the residual is added to; the graph is left with one multiplication;
- the shift of the value projection into the output projection: attention weights sum to 1.
A matrix that several layers share is folded only where every use of it agrees (ALBERT: not the block's input).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_bert.config import EncoderConfig
from keras_bert.errors import ExportError

from .quantized import QuantizedMatrix, StaticGrids

Matrix = np.ndarray | QuantizedMatrix


@dataclasses.dataclass(frozen=True, eq=False)
class Linear:
    """`x W^T + bias`: `matrix` [out, in], `bias` float32 [out]. `name` says where in the model it stands.

    With `grids` the product is one of integers, see `StaticGrids`.
    """

    name: str
    matrix: Any
    bias: np.ndarray
    grids: StaticGrids | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Norm:
    """LayerNorm over the last axis: `scale * n + shift` with `n = (x - mean) / sqrt(variance + epsilon)`.

    Attributes:
        scale, shift: float32 [width].
        read_scale: matrices that have this norm folded in read `read_scale * n`, float32 [width]; None: `n` itself.
    """

    scale: np.ndarray
    shift: np.ndarray
    epsilon: float
    read_scale: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """One transformer block.

    Attributes:
        reads_normalized: its matrices have the preceding LayerNorm's scale and shift inside.
        key_is_transposed: `key` is `[in, out]`, for a block with one query (see `for_one_query`).
    """

    query: Linear
    key: Linear
    value: Linear
    out: Linear
    attention_norm: Norm
    feedforward_in: Linear
    feedforward_out: Linear
    output_norm: Norm
    reads_normalized: bool
    key_is_transposed: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Weights:
    """Everything the graph is built from.

    Attributes:
        token_table, position_table: `[rows, embedding_size]`. segment_table: float32, or None.
        projection: ALBERT's, with `embedding_norm` folded in, or None.
        head: the matrices of the task's head by name, the last LayerNorm folded into the first of them.
        head_activation: `tanh` or `relu` after the head's first matrix, or None.
        final_norm: that LayerNorm, for outputs that no matrix reads.
        decoder_norm: the masked-language-model head's, or None.
        folded: whether the foldings of this module are done; without them every matrix is the Keras layer's own and
            reads and gives what that layer does.
    """

    config: EncoderConfig
    token_table: Any
    position_table: Any
    segment_table: np.ndarray | None
    embedding_norm: Norm
    projection: Linear | None
    blocks: tuple[Block, ...]
    schedule: tuple[int, ...]
    head: dict[str, Linear]
    head_activation: str | None
    final_norm: Norm
    decoder_norm: Norm | None
    folded: bool = True


def read_weights(model: Any, *, fold: bool = True) -> Weights:
    """The weights of a task model, float32.

    Args:
        fold: whether the foldings of this module are done.

    Raises:
        ExportError: a weight holds NaN or infinity.
    """
    encoder = model.encoder
    embeddings = encoder.embeddings
    embedding_norm = _norm(embeddings.norm, "embeddings.norm")
    projection = None
    if embeddings.projection is not None:
        projection = _linear(embeddings.projection, "embeddings.projection")
        projection = _read_normalized(projection, embedding_norm) if fold else projection
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
            blocks[-1] = _folded(blocks[-1], encoder.config.num_heads, norm)

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


def map_matrices(weights: Weights, function: Callable[[Linear], Linear]) -> Weights:
    """`weights` with every `Linear` replaced by `function` of it."""

    def mapped(value: Any) -> Any:
        if isinstance(value, Linear):
            return function(value)
        if isinstance(value, Block):
            return dataclasses.replace(
                value, **{f.name: mapped(getattr(value, f.name)) for f in dataclasses.fields(value)}
            )
        if isinstance(value, tuple):
            return tuple(mapped(item) for item in value)
        if isinstance(value, dict):
            return {key: mapped(item) for key, item in value.items()}
        return value

    parts = ("projection", "blocks", "head")
    return dataclasses.replace(weights, **{part: mapped(getattr(weights, part)) for part in parts})


def linears_of(weights: Weights) -> dict[str, Linear]:
    """Every `Linear` of `weights` by its name."""
    found: dict[str, Linear] = {}

    def keep(linear: Linear) -> Linear:
        found[linear.name] = linear
        return linear

    map_matrices(weights, keep)
    return found


def for_one_query(weights: Weights) -> Weights:
    """`weights` for a graph that reads the first row alone: the last block's one query goes to the keys' side.

    The scores of one query q against the keys `x W^T + b` are `(q W) x^T` and a constant, which softmax ignores, and
    the values' projection can wait until their weighted mean is taken: two products over all tokens less. The key
    matrix is then read transposed; a block that layers share stays as it is, so that no matrix is stored twice.
    """
    last = weights.schedule[-1]
    if weights.schedule.count(last) > 1:
        return weights
    key = weights.blocks[last].key
    key = dataclasses.replace(key, matrix=np.ascontiguousarray(key.matrix.T), bias=np.zeros(key.matrix.shape[1], "f4"))
    block = dataclasses.replace(weights.blocks[last], key=key, key_is_transposed=True)
    return dataclasses.replace(weights, blocks=(*weights.blocks[:last], block, *weights.blocks[last + 1 :]))


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


def _folded(block: Block, num_heads: int, input_norm: Norm | None) -> Block:
    """`block` with the foldings done; `input_norm` is the LayerNorm before it, None where that is not always one."""
    query, key, value = block.query, block.key, block.value
    if input_norm is not None:
        query, key, value = (_read_normalized(linear, input_norm) for linear in (query, key, value))
    scale = np.float32(1 / math.sqrt(len(query.bias) // num_heads))
    query = dataclasses.replace(query, matrix=query.matrix * scale, bias=query.bias * scale)
    out = dataclasses.replace(block.out, bias=block.out.bias + block.out.matrix @ value.bias)
    value = dataclasses.replace(value, bias=np.zeros_like(value.bias))
    if input_norm is not None:
        out = dataclasses.replace(out, bias=out.bias + input_norm.shift)
    feedforward_out = block.feedforward_out
    return dataclasses.replace(
        block,
        query=query,
        key=key,
        value=value,
        out=out,
        feedforward_in=_read_normalized(block.feedforward_in, block.attention_norm),
        feedforward_out=dataclasses.replace(feedforward_out, bias=feedforward_out.bias + block.attention_norm.shift),
        reads_normalized=input_norm is not None,
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
            head[first] = _read_normalized(head[first], final_norm)
    if model.task == "masked_lm":
        # The matrix is the token table, which the graph already has.
        head["decoder"] = Linear("head.decoder", None, _array(model.head.bias, "head.bias"))
    return head


def _read_normalized(linear: Linear, norm: Norm) -> Linear:
    """`linear` for an input to which the scale and shift of `norm` have not been applied."""
    bias = linear.bias + linear.matrix @ norm.shift
    return dataclasses.replace(linear, matrix=linear.matrix * norm.scale, bias=bias)


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
