"""One text with the model's answer, kept in the file: a runner tries it on opening and notices a runtime that is wrong.

Some runtimes open a file whose operators they compute wrongly (tflite-runtime 2.14 takes int8 matrices with one scale a
row and reads one scale for all). Operator versions are meant to prevent that; this is the check that they did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .recipes import Recipe
from .runtime import Session
from .verify import fitting_signatures, padded, renamed

_VALUES = 8  # of each output, from its start: fewer than the shortest text has tokens
_LONGEST = 32  # tokens; the check is paid on every opening
_CANDIDATES = 8
_LEAST_TOLERANCE = 0.01


def known_answer(
    flatbuffer: bytes,
    signatures: Mapping[str, int | None],
    pad_token_id: int,
    recipe: Recipe,
    texts: Sequence[Mapping[str, np.ndarray]],
) -> dict[str, Any] | None:
    """Ids and first output values of the one of a few short texts whose outputs are largest; None if no text is short.

    Args:
        signatures: the file's, with their lengths.
        texts: model inputs, int32 [1, length] each.

    Returns:
        `token_ids`, `segment_ids`, `outputs` (name -> first values) and `tolerance`, the relative error allowed:
        rms(difference) / rms(values). It is twice the recipe's, because int8 rounds differently from one processor to
        the next; a runtime that is wrong is off by about 1.
    """
    short = [t for t in texts if _VALUES <= t["token_ids"].shape[1] <= _LONGEST and fitting_signatures(signatures, t)]
    if not short:
        return None
    session = Session(flatbuffer)
    best: tuple[float, dict[str, Any]] | None = None
    for features in short[:_CANDIDATES]:
        signature = fitting_signatures(signatures, features)[0]
        filled = padded(features, signatures[signature], pad_token_id)
        outputs = session.run(signature, renamed(filled, session.signatures[signature]))
        values = {name: output.reshape(-1)[:_VALUES].astype(float) for name, output in outputs.items()}
        size = float(np.mean([np.mean(value**2) for value in values.values()]))
        if np.isfinite(size) and (best is None or size > best[0]):
            best = (
                size,
                {
                    "token_ids": features["token_ids"][0].tolist(),
                    "segment_ids": features["segment_ids"][0].tolist(),
                    "outputs": {name: value.tolist() for name, value in values.items()},
                    "tolerance": max(2 * recipe.tolerance, _LEAST_TOLERANCE),
                },
            )
    return best[1] if best else None
