"""What an exported file costs and what it is worth: bytes, score with its interval, latency on the edge runner."""

from __future__ import annotations

import gzip
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_bert.errors import KerasBertError, MissingExtraError

from ..quiet import quiet_imports
from ..tasks import TaskAdapter

_RESAMPLES = 200
_TIMED = 200  # examples
_TURN = 8  # examples


def edge_runner() -> Any:
    """The module `keras_bert_edge`.

    Raises:
        MissingExtraError: it is not installed (extra `edge`).
    """
    try:
        import keras_bert_edge
    except ModuleNotFoundError:
        raise MissingExtraError(
            "measuring a .tflite file needs the extra edge: pip install keras-bert-toolkit[edge]"
        ) from None
    return keras_bert_edge


def measure_file(path: pathlib.Path, task: TaskAdapter, data: Any, seed: int = 0) -> dict[str, Any]:
    """Measures of the .tflite file at `path`, by name.

    `size` and `gzip` in bytes; the metrics of the task on `data`; `low` and `high`, the 95% interval of the first of
    them (bootstrap over examples); `latency`, the median milliseconds of an example from text to answer, batch 1, one
    thread.

    Raises:
        MissingExtraError: keras-bert-edge is not installed (extra `edge`).
        KerasBertError: the file cannot be run, or an example cannot be read by it.
    """
    runner, durations = _Timed(_open(path)), list[float]()
    predictions = _predict(runner, task, data, lambda count: durations.append(runner.taken() / count))
    found = task.evaluate(predictions, data, runner).scores
    low, high = _interval(predictions, task, data, runner, seed)
    return {
        "size": path.stat().st_size,
        "gzip": len(gzip.compress(path.read_bytes())),
        **found,
        "low": low,
        "high": high,
        "latency": 1e3 * statistics.median(durations[:_TIMED]),
    }


def times_as_long(path: pathlib.Path, other: pathlib.Path, task: TaskAdapter, data: Any) -> float:
    """How many times as long the file at `path` takes as `other` for the same examples, batch 1, one thread.

    The two take turns, so that the ratio is not that of two moods of the machine: the median over turns of 8 examples.
    """
    runners = [_Timed(_open(each)) for each in (path, other)]
    ratios = []
    for first in range(0, min(len(data), _TIMED), _TURN):
        part, seconds = data.subset(range(first, min(first + _TURN, len(data)))), []
        for runner in runners:
            _predict(runner, task, part, lambda count: None)
            seconds.append(runner.taken())
        ratios.append(seconds[0] / seconds[1])
    return statistics.median(ratios)


class _Timed:
    """A runner, and the seconds of its calls alone: what a task does with an answer to score it is not the device's."""

    def __init__(self, runner: Any) -> None:
        self._runner, self._seconds = runner, 0.0

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return self._runner(*inputs, **options)
        finally:
            self._seconds += time.perf_counter() - began

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def taken(self) -> float:
        """Seconds since it was asked last."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


def _open(path: pathlib.Path) -> Any:
    edge = edge_runner()
    try:
        with quiet_imports():
            return edge.load(str(path), threads=1)
    except edge.EdgeError as error:
        raise KerasBertError(str(error)) from error


def _predict(runner: Any, task: TaskAdapter, data: Any, on_item: Callable[[int], None]) -> Any:
    try:
        return task.edge_predict(runner, data, on_item)
    except edge_runner().EdgeError as error:
        raise KerasBertError(str(error)) from error


def _interval(predictions: Any, task: TaskAdapter, data: Any, runner: Any, seed: int) -> tuple[float, float]:
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(_RESAMPLES):
        chosen = generator.integers(0, len(data), len(data)).tolist()
        picked = predictions[chosen] if isinstance(predictions, np.ndarray) else [predictions[i] for i in chosen]
        values.append(next(iter(task.evaluate(picked, data.subset(chosen), runner).scores.values())))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
