"""What int8 matrices read, measured on text, and what is made of it.

Equalising takes outlier channels out, exactly (SmoothQuant, Xiao et al. 2023, equation 4). The runtime quantises each
row of a matrix's input with one scale. A channel that is ten times the others, and every BERT has some, costs the
others that much resolution. Scaling channel j by s_j after the LayerNorm and dividing column j of the matrices by it
changes nothing in real arithmetic and evens the channels out. It costs one multiplication a LayerNorm.

Bias correction (Nagel et al. 2019, section 4.2) adds to a matrix's bias what its rounding takes away on average.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from .graph import FlatGraph
from .quantized import QuantizedMatrix
from .runtime import Session
from .weights import Linear, Norm, Weights
from .writer import ModelWriter

_SMALLEST = 1e-3  # of the largest channel: smaller ones are treated as that
_CALIBRATION_LENGTH = 128  # tokens; longer texts say little more


@dataclasses.dataclass(frozen=True)
class InputStatistics:
    """Of what one matrix reads, over all tokens: largest magnitude, mean and mean square of each channel, [in]; and
    where they were asked for the mean products of two channels, float32 [in, in]."""

    largest: np.ndarray
    mean: np.ndarray
    mean_square: np.ndarray
    products: np.ndarray | None = None


# What each matrix reads [tokens, in] and gives [tokens, out] in one text, by its name, a pair a use.
Uses = dict[str, list[tuple[np.ndarray, np.ndarray]]]


def observe(
    weights: Weights, texts: Sequence[Mapping[str, np.ndarray]], add_task: Callable[[FlatGraph], object]
) -> Iterator[Uses]:
    """What each matrix reads and gives, text by text.

    Args:
        weights: float32.
        texts: model inputs, int32 [1, length] each; those of more than 128 tokens are left out where shorter ones are.
        add_task: adds the operators of the task to a graph.
    """
    writer = ModelWriter("calibration")
    subgraph = writer.subgraph("serving_default")
    graph = FlatGraph(subgraph, weights)
    add_task(graph)
    tensors = {tensor.index: tensor for uses in graph.products.values() for pair in uses for tensor in pair}
    for index, tensor in tensors.items():
        subgraph.output(str(index), tensor)
    session = Session(writer.to_bytes(), threads=2)
    short = [features for features in texts if features["token_ids"].shape[1] <= _CALIBRATION_LENGTH]
    for features in short or texts:
        found = session.run("serving_default", features)
        yield {
            name: [(found[str(x.index)], found[str(y.index)]) for x, y in uses] for name, uses in graph.products.items()
        }


def each_use(texts: Iterable[Uses]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name of the matrix, what it reads and what it gives, use by use of all texts."""
    for text in texts:
        for name, uses in text.items():
            for x, y in uses:
                yield name, x, y


def measure_inputs(
    weights: Weights,
    texts: Sequence[Mapping[str, np.ndarray]],
    add_task: Callable[[FlatGraph], object],
    *,
    products: bool = False,
) -> dict[str, InputStatistics]:
    """Statistics of what each matrix reads, by its name; arguments as for `observe`.

    Args:
        products: whether mean products of channels are wanted, which take `in * in` floats a matrix.
    """
    largest: dict[str, np.ndarray] = {}
    sums: dict[str, np.ndarray] = {}
    squares: dict[str, np.ndarray] = {}
    crossed: dict[str, np.ndarray] = {}
    rows: dict[str, int] = {}
    for name, x, _ in each_use(observe(weights, texts, add_task)):
        largest[name] = np.maximum(largest.get(name, 0), np.abs(x).max(axis=0))
        sums[name] = sums.get(name, 0) + x.sum(axis=0, dtype=np.float64)
        rows[name] = rows.get(name, 0) + len(x)
        squares[name] = squares.get(name, 0) + np.square(x).sum(axis=0, dtype=np.float64)
        if products:
            crossed[name] = crossed.get(name, 0) + x.T @ x
    return {
        name: InputStatistics(
            largest[name],
            sums[name] / rows[name],
            squares[name] / rows[name],
            crossed[name] / np.float32(rows[name]) if products else None,
        )
        for name in largest
    }


def correct_bias(linear: Linear, stored: QuantizedMatrix, statistics: InputStatistics) -> np.ndarray:
    """The bias [out] with which `stored` gives, on average, what `linear` gives."""
    correction = (linear.matrix - stored.dequantize()) @ statistics.mean
    return (linear.bias + correction).astype(np.float32)


def input_scale(readers: Sequence[Linear], largest: np.ndarray) -> np.ndarray:
    """What to multiply the channels with that `readers` read, and to divide their columns by: half of the spread of
    either on the other.

    Args:
        largest: magnitude of each channel, [in].

    Returns:
        `sqrt(max |column| / max |channel|)`, its geometric mean 1, float32 [in].
    """
    columns = np.maximum.reduce([np.abs(linear.matrix).max(axis=0) for linear in readers])
    return 1 / evened(np.sqrt(_floored(largest) / _floored(columns)))


def evened(sizes: np.ndarray) -> np.ndarray:
    """`sizes` divided by their geometric mean, none of them much smaller than the largest."""
    floored = _floored(sizes)
    return (floored / np.exp(np.log(floored).mean())).astype(np.float32)


def _floored(sizes: np.ndarray) -> np.ndarray:
    return np.maximum(sizes, max(float(sizes.max()) * _SMALLEST, 1e-12))


def equalize(weights: Weights, statistics: Mapping[str, InputStatistics]) -> Weights:
    """Float32 `weights` with every LayerNorm that matrices of a block have folded in given its `read_scale`."""
    blocks = list(weights.blocks)
    embedding_norm = weights.embedding_norm
    for index, block in enumerate(weights.blocks):
        scale = _scale((block.feedforward_in,), statistics)
        blocks[index] = dataclasses.replace(
            blocks[index],
            attention_norm=_with_scale(block.attention_norm, scale),
            feedforward_in=_divided(block.feedforward_in, scale),
        )
    for before, index in _readers(weights):
        block = weights.blocks[index]
        readers = (block.query, block.key, block.value)
        scale = _scale(readers, statistics)
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


def _scale(readers: Sequence[Linear], statistics: Mapping[str, InputStatistics]) -> np.ndarray:
    return input_scale(readers, np.maximum.reduce([statistics[linear.name].largest for linear in readers]))


def _divided(linear: Linear, scale: np.ndarray) -> Linear:
    return dataclasses.replace(linear, matrix=linear.matrix / scale)


def _with_scale(norm: Norm, scale: np.ndarray) -> Norm:
    return dataclasses.replace(norm, read_scale=scale)
