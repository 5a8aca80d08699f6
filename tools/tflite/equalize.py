"""Outlier channels taken out of what int8 matrices read, exactly (SmoothQuant, Xiao et al. 2023, equation 4).

The runtime quantises each row of a matrix's input with one scale. A channel that is ten times the others, and every
BERT has some, costs the others that much resolution. Scaling channel j by s_j after the LayerNorm and dividing column
j of the matrices by it changes nothing in real arithmetic and evens the channels out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from .graph import FlatGraph
from .runtime import Session
from .weights import Linear, Norm, Weights
from .writer import ModelWriter

_SMALLEST = 1e-3  # magnitude below which a channel is treated as silent


def input_ranges(weights: Weights, texts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Largest magnitude of each channel of what each matrix reads: name -> float32 [in].

    Args:
        weights: float32.
        texts: model inputs, int32 [1, length] each.
    """
    writer = ModelWriter("calibration")
    subgraph = writer.subgraph("serving_default")
    graph = FlatGraph(subgraph, weights)
    graph.encode()
    tensors = {tensor.index: tensor for uses in graph.matrix_inputs.values() for tensor in uses}
    for index, tensor in tensors.items():
        subgraph.output(str(index), tensor)
    session = Session(writer.to_bytes(), threads=2)
    largest: dict[int, np.ndarray] = {}
    for features in texts:
        for name, value in session.run("serving_default", features).items():
            top = np.abs(value).max(axis=0)
            largest[int(name)] = np.maximum(largest.get(int(name), 0), top)
    return {
        name: np.maximum.reduce([largest[tensor.index] for tensor in uses])
        for name, uses in graph.matrix_inputs.items()
    }


def equalize(weights: Weights, ranges: Mapping[str, np.ndarray]) -> Weights:
    """`weights` with every LayerNorm that matrices of a block have folded in given its `read_scale`.

    Args:
        weights: float32, not equalised yet.
        ranges: see `input_ranges`.
    """
    blocks = list(weights.blocks)
    embedding_norm = weights.embedding_norm
    for index, block in enumerate(weights.blocks):
        scale = _scale(ranges[block.feedforward_in.name], [block.feedforward_in])
        blocks[index] = dataclasses.replace(
            blocks[index],
            attention_norm=_with_scale(block.attention_norm, scale),
            feedforward_in=_divided(block.feedforward_in, scale),
        )
    for before, index in _readers(weights):
        block = weights.blocks[index]
        readers = (block.query, block.key, block.value)
        scale = _scale(ranges[block.query.name], readers)
        query, key, value = (_divided(linear, scale) for linear in readers)
        blocks[index] = dataclasses.replace(blocks[index], query=query, key=key, value=value)
        if before is None:
            embedding_norm = _with_scale(embedding_norm, scale)
        else:
            norm = _with_scale(blocks[before].output_norm, scale)
            blocks[before] = dataclasses.replace(blocks[before], output_norm=norm)
    return dataclasses.replace(weights, blocks=tuple(blocks), embedding_norm=embedding_norm)


def _readers(weights: Weights) -> list[tuple[int | None, int]]:
    """Pairs of blocks (writer, reader) whose norm between them nothing else reads; the writer None: the embeddings."""
    steps = list(zip((None, *weights.schedule[:-1]), weights.schedule, strict=True))
    pairs = []
    for before, index in dict.fromkeys(steps):
        shared = sum(pair[0] == before for pair in set(steps)) > 1 or weights.schedule[-1] == before
        if weights.blocks[index].reads_normalized and not shared:
            pairs.append((before, index))
    return pairs


def _scale(largest: np.ndarray, readers: Sequence[Linear]) -> np.ndarray:
    """`sqrt(max |column| / max |channel|)`, mean 1 in the logarithm: half of the spread on either side."""
    columns = np.maximum.reduce([np.abs(linear.matrix).max(axis=0) for linear in readers])
    scale = np.sqrt(np.maximum(columns, columns.max() * _SMALLEST) / np.maximum(largest, _SMALLEST))
    return (scale / np.exp(np.log(scale).mean())).astype(np.float32)


def _divided(linear: Linear, scale: np.ndarray) -> Linear:
    return dataclasses.replace(linear, matrix=linear.matrix / scale)


def _with_scale(norm: Norm, scale: np.ndarray) -> Norm:
    return dataclasses.replace(norm, read_scale=scale)
