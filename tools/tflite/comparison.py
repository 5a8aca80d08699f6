"""Outputs of two models over many texts: how far they differ and how often they choose alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_bert.errors import ExportError


class Comparison:
    """Collects differences and choices.

    Attributes:
        largest: largest absolute difference of an output.
    """

    def __init__(self) -> None:
        self._squares = self._reference_squares = self._count = self.largest = 0.0
        self._margins: list[np.ndarray] = []  # of the best alternative before the next, in the reference's outputs
        self._equal: list[np.ndarray] = []  # whether the other's best is the same

    def add(self, reference: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray], length: int) -> None:
        """Compare one text's outputs.

        Raises:
            ExportError: other outputs or shapes than the reference's, or values that are not finite.
        """
        if set(reference) != set(outputs):
            raise ExportError(f"the exported model's outputs are {sorted(outputs)}, expected {sorted(reference)}")
        for name, expected in reference.items():
            got = outputs[name]
            if got.shape != expected.shape:
                raise ExportError(
                    f"the exported model's {name} has shape {got.shape} at {length} tokens, expected {expected.shape}"
                )
            if not np.isfinite(got).all():
                raise ExportError(f"the exported model's {name} holds NaN or infinity at {length} tokens")
            self._squares += float(np.sum((got - expected) ** 2, dtype=np.float64))
            self._reference_squares += float(np.sum(expected**2, dtype=np.float64))
            self._count += expected.size
            self.largest = max(self.largest, float(np.abs(got - expected).max()))
            alternatives = _alternatives(expected)
            best = np.partition(alternatives, -2, axis=-1)[:, -2:]
            self._margins.append(best[:, 1] - best[:, 0])
            self._equal.append(alternatives.argmax(-1) == _alternatives(got).argmax(-1))

    @property
    def error(self) -> float:
        """rms(difference) / rms(reference) over all outputs."""
        return float(np.sqrt(self._squares / max(self._reference_squares, 1e-30)))

    def agreement(self, clear_by: float = -1.0) -> float | None:
        """Share of the choices that are the reference's; None where there is none.

        Args:
            clear_by: count only those whose best is ahead by more than this share of the outputs' rms; a number below 0
                counts all.
        """
        equal, margins = np.concatenate(self._equal), np.concatenate(self._margins)
        clear = margins > clear_by * np.sqrt(self._reference_squares / self._count)
        return float(equal[clear].mean()) if clear.any() else None


def chooses(model: Any) -> bool:
    """Whether a model's outputs choose something: the values of a regression and vectors do not."""
    return model.task != "sentence_embedding" and getattr(model, "problem_type", None) != "regression"


def _alternatives(output: np.ndarray) -> np.ndarray:
    """Rows to choose from, `[choices, alternatives]`; a lone score is chosen or not."""
    rows = output.reshape(-1, output.shape[-1])
    return np.concatenate([rows, np.zeros_like(rows)], axis=-1) if rows.shape[-1] == 1 else rows
