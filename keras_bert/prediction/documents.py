"""What a classifier says of documents of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..data.batches import laid_end_to_end
from ..data.documents import document_windows
from ..data.predict import output_batches, tokenizer_of
from ..data.windows import Window

# Windows held at a time: so many at least, that short documents share batches; their vectors are all that is kept.
_POOL = 256


def document_logits(
    model: Any,
    texts: Sequence[str],
    *,
    batch_size: int = 32,
    on_text: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Logits of a `DocumentClassifier` for texts of any length: float32 [texts, labels].

    The encoder sees `batch_size` windows at a time; of a window only its vector is kept. So the cost grows linearly
    with the length, memory by one vector a window, and the result does not depend on `batch_size`, but for rounding.

    Args:
        on_text: called with the number of texts done since the last call.

    Raises:
        KerasBertError: no tokenizer, or values that are not finite.
    """
    tokenizer = tokenizer_of(model)
    windows = document_windows(tokenizer, texts, window_length=model.window_length, overlap=model.overlap)
    rows = []
    for vectors in _vectors(model, windows, batch_size):
        held = np.ones((1, len(vectors)), "int32")
        rows.append(np.asarray(model.pool(vectors[None], held, training=False), "float32")[0])
        if on_text:
            on_text(1)
    return np.stack(rows) if rows else np.zeros((0, len(model.labels)), "float32")


def _vectors(model: Any, documents: Iterable[list[Window]], batch_size: int) -> Iterator[np.ndarray]:
    """The vectors of each document's windows, float32 [windows, hidden_size]."""
    pool: list[list[Window]] = []
    for windows in documents:
        pool.append(windows)
        if sum(map(len, pool)) >= _POOL:
            yield from _run(model, pool, batch_size)
            pool = []
    if pool:
        yield from _run(model, pool, batch_size)


def _run(model: Any, pool: Sequence[list[Window]], batch_size: int) -> Iterator[np.ndarray]:
    flat = [window for windows in pool for window in windows]
    encoded = laid_end_to_end((window.token_ids, window.segment_ids) for window in flat)
    vectors = np.zeros((len(flat), model.config.hidden_size), "float32")

    def text_of(index: int) -> str:
        return model.tokenizer.decode(flat[index].token_ids)

    for indices, outputs in output_batches(model.vectors, encoded, batch_size, text_of):
        vectors[indices] = outputs["output"]
    yield from np.split(vectors, np.cumsum([len(windows) for windows in pool])[:-1])
