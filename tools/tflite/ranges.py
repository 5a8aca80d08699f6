"""Grids of integer products, from what matrices read and give on text.

A static grid serves every text, so outliers in a few channels cost all others their resolution. Input channels are
evened out against the columns of the matrices that read them (SmoothQuant, Xiao et al. 2023, equation 4), output
channels among themselves, whose scales the rows of the matrix take up. Then each range is cut to where the squared
error is smallest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from keras import ops

from keras_bert.layers.fake_quantization import grid

from .calibrate import each_use, evened, input_scale, observe
from .graph import FlatGraph
from .quantized import Grid, StaticGrids, quantize_rows
from .weights import Linear, Weights, linears_of

_BINS = 2048
_CUTS = np.linspace(1.0, 0.3, 36)

_Texts = Sequence[Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class ProductRanges:
    """Of one matrix: vectors `[in]` and `[out]` as in `StaticGrids`, and the ranges (low, high) that get a grid."""

    input_scale: np.ndarray
    output_scale: np.ndarray
    input: tuple[float, float]
    output: tuple[float, float]


def measure_ranges(
    weights: Weights, texts: _Texts, add_task: Callable[[FlatGraph], object]
) -> dict[str, ProductRanges]:
    """Ranges of all matrices but those of the graph's tables, by name; arguments as for `observe`.

    Args:
        weights: float32, not folded.
    """
    linears = linears_of(weights)
    lows: dict[tuple[str, int], np.ndarray] = {}
    highs: dict[tuple[str, int], np.ndarray] = {}
    readers: dict[int, set[str]] = {}  # names of the matrices that read one array
    groups: dict[str, frozenset[str]] = {}
    for text in observe(weights, texts, add_task):
        readers.clear()
        for name, x, y in each_use([text]):
            readers.setdefault(id(x), set()).add(name)
            for side, value in enumerate((x, y)):
                key = (name, side)
                lows[key] = np.minimum(lows.get(key, 0), value.min(axis=0))
                highs[key] = np.maximum(highs.get(key, 0), value.max(axis=0))
        groups = {name: frozenset(names) for names in readers.values() for name in names}
    chosen = [name for name, linear in linears.items() if linear.matrix is not None]
    input_scales, output_scales = {}, {}
    for name in chosen:
        group = [linears[other] for other in sorted(groups[name])]
        input_scales[name] = input_scale(group, np.maximum(-lows[name, 0], highs[name, 0]))
        output_scales[name] = evened(np.maximum(-lows[name, 1], highs[name, 1]))
    histograms = {
        (name, side): _Histogram(lows[name, side] * factor, highs[name, side] * factor)
        for name in chosen
        for side, factor in enumerate((input_scales[name], 1 / output_scales[name]))
    }
    for name, x, y in each_use(observe(weights, texts, add_task)):
        if name in input_scales:
            histograms[name, 0].add(x * input_scales[name])
            histograms[name, 1].add(y / output_scales[name])
    return {
        name: ProductRanges(
            input_scales[name], output_scales[name], histograms[name, 0].best_range(), histograms[name, 1].best_range()
        )
        for name in chosen
    }


def static_linear(linear: Linear, ranges: ProductRanges) -> Linear:
    """`linear` as a product of integers."""
    grids = StaticGrids(grid_over(*ranges.input), grid_over(*ranges.output), ranges.input_scale, ranges.output_scale)
    return dataclasses.replace(linear, matrix=quantize_rows(linear.matrix / ranges.input_scale), grids=grids)


def grid_over(low: float, high: float) -> Grid:
    """The grid that training rounds to."""
    scale, zero_point = grid(*(ops.convert_to_tensor(bound, "float32") for bound in (low, high)))
    return Grid(float(scale), int(zero_point))


class _Histogram:
    """Counts values, to choose the range with the smallest squared error after rounding."""

    def __init__(self, lows: np.ndarray, highs: np.ndarray) -> None:
        self.low = min(float(lows.min()), 0.0)
        self.high = max(float(highs.max()), self.low + 1e-6, 1e-6)
        self.counts = np.zeros(_BINS, np.int64)

    def add(self, values: np.ndarray) -> None:
        self.counts += np.histogram(values, _BINS, (self.low, self.high))[0]

    def best_range(self) -> tuple[float, float]:
        width = (self.high - self.low) / _BINS
        centres = self.low + width * (np.arange(_BINS) + 0.5)
        best = (np.inf, self.low, self.high)
        for cut in _CUTS:
            low, high = self.low * cut, self.high * cut
            scale = (high - low) / 255
            outside = np.maximum(low - centres, 0) + np.maximum(centres - high, 0)
            error = float((self.counts * np.where(outside > 0, outside**2, scale**2 / 12)).sum())
            best = min(best, (error, low, high))
        return best[1], best[2]
