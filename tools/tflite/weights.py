"""The weights of the flat inference graph: matrices `[out, in]`, norms and tables, and how to map over the matrices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_bert.config import EncoderConfig

from .quantized import StaticGrids


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
        folded: whether the foldings of `folding` are done; without them every matrix is the Keras layer's own and
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
