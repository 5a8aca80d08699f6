"""Texts cut into windows through a model: outputs of each window, text by text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..data.batches import laid_end_to_end
from ..data.predict import output_batches
from ..data.windows import Window

# Windows held at a time: enough to sort by length, and a bound on the memory however many texts there are.
_POOL = 512


def run_windows(
    model: Any, texts: Iterable[Sequence[Window]], *, batch_size: int
) -> Iterator[list[dict[str, np.ndarray]]]:
    """For each text the outputs of its windows, in order: name -> float32 [window's length, ...].

    Windows of many texts share batches. Results do not depend on `batch_size`, but for rounding.

    Raises:
        KerasBertError: the model gives values that are not finite.
    """
    pool: list[Sequence[Window]] = []
    held = 0
    for windows in texts:
        pool.append(windows)
        held += len(windows)
        if held >= _POOL:
            yield from _run(model, pool, batch_size)
            pool, held = [], 0
    yield from _run(model, pool, batch_size)


def _run(model: Any, pool: Sequence[Sequence[Window]], batch_size: int) -> Iterator[list[dict[str, np.ndarray]]]:
    flat = [window for windows in pool for window in windows]
    encoded = laid_end_to_end((window.token_ids, window.segment_ids) for window in flat)
    results: list[dict[str, np.ndarray]] = [{} for _ in flat]

    def text_of(index: int) -> str:
        return model.tokenizer.decode(flat[index].token_ids) if model.tokenizer else str(flat[index].token_ids)

    for indices, outputs in output_batches(model, encoded, batch_size, text_of):
        for row, index in enumerate(indices):
            length = len(flat[index].token_ids)
            results[index] = {name: values[row, :length] for name, values in outputs.items()}
    rows = iter(results)
    for windows in pool:
        yield [next(rows) for _ in windows]
