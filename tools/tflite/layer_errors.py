"""Which matrix or table of a file loses what, and which are worth more bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_bert.errors import ExportError

from .comparison import Comparison, chooses
from .convert import write_model
from .layout import Layout
from .prepare import TABLES, Prepared
from .runtime import Session
from .weights import Linear, Weights, linears_of

_SIGNATURE = "serving_default"
_Texts = Sequence[Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class LayerError:
    """What is lost when one tensor alone is stored as in the file, the others float32.

    Attributes:
        name: of the matrix or table. kind: how it is stored.
        weights: rms(stored - float) / rms(float) of the tensor itself.
        error: rms of the outputs' difference over their rms. agreement: share of choices that stay;
            None where nothing is chosen.
    """

    name: str
    kind: str
    weights: float
    error: float
    agreement: float | None


class LayerErrors:
    """Measures losses against the float32 graph, in LiteRT.

    Args:
        model: a task model.
        prepared: of that model.
        texts: model inputs, int32 [1, length] each, that the losses are measured on.
    """

    def __init__(self, model: Any, prepared: Prepared, texts: _Texts) -> None:
        self.model, self.prepared, self.texts = model, prepared, texts
        self._reference = self._outputs(prepared.weights)

    def compare(self, weights: Weights) -> Comparison:
        """The outputs of other weights with those of the float32 ones."""
        comparison = Comparison()
        for features, expected, got in zip(self.texts, self._reference, self._outputs(weights), strict=True):
            comparison.add(expected, got, features["token_ids"].shape[1])
        return comparison

    def agreement(self, comparison: Comparison) -> float | None:
        """Share of choices that stay; None of a regression's values or of vectors, which choose nothing."""
        return comparison.agreement() if chooses(self.model) else None

    def table(self, advance: Callable[[int], None] = lambda steps: None) -> list[LayerError]:
        """The loss of each tensor alone, the worst first; `advance` is called with 1 after each."""
        found = []
        originals = _tensors(self.prepared.weights)
        for name, stored in self.prepared.stored.items():
            original = originals[name]
            if original is not None:
                comparison = self.compare(self.prepared.assemble([name]))
                matrix = stored.matrix if isinstance(stored, Linear) else stored
                static = isinstance(stored, Linear) and stored.grids is not None
                kind = "static int8" if static else _kind(matrix)
                exact = original / stored.grids.input_scale if static else original
                lost = _relative(_floats(matrix) - exact, exact)
                found.append(LayerError(name, kind, lost, comparison.error, self.agreement(comparison)))
            advance(1)
        return sorted(found, key=lambda each: -each.error)

    def _outputs(self, weights: Weights) -> list[dict[str, np.ndarray]]:
        session = Session(write_model(self.model, weights, Layout({_SIGNATURE: None})), threads=2)
        return [session.run(_SIGNATURE, features) for features in self.texts]


def most_sensitive(errors: LayerErrors, table: Sequence[LayerError], finer: Prepared, budget: float) -> frozenset[str]:
    """The fewest matrices, the worst of `table` first, that must be as `finer` has them to keep within `budget`.

    Args:
        errors: of the coarser recipe. table: of it.
        finer: the same weights, stored with more bits.
        budget: relative error of the outputs allowed.

    Raises:
        ExportError: the error is larger with all of them finer.
    """
    names = [each.name for each in table if each.kind.startswith("int4")]

    def error(count: int) -> float:
        chosen = {name: finer.stored[name] for name in names[:count]}
        mixed = dataclasses.replace(errors.prepared, stored={**errors.prepared.stored, **chosen})
        return errors.compare(mixed.assemble()).error

    low, high = -1, len(names)  # the error is too large with `low`, and small enough with `high` of them
    least = error(high)
    if least > budget:
        raise ExportError(
            f"a budget of {budget:g} cannot be kept: with int8 throughout the outputs are off by {least:.2g} of their"
            " size"
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if error(middle) <= budget else (middle, high)
    return frozenset(names[:high])


def _tensors(weights: Weights) -> dict[str, Any]:
    """Float32 matrices and tables by name; None where a matrix is a table."""
    tables = {name: getattr(weights, name.partition(".")[2]) for name in TABLES}
    return tables | {name: linear.matrix for name, linear in linears_of(weights).items()}


def _kind(matrix: Any) -> str:
    if isinstance(matrix, np.ndarray):
        return str(matrix.dtype)
    return f"int{matrix.bits}" + (f" in blocks of {matrix.block_size}" if matrix.block_size else "")


def _floats(matrix: Any) -> np.ndarray:
    return matrix.astype(np.float32) if isinstance(matrix, np.ndarray) else matrix.dequantize()


def _relative(difference: np.ndarray, reference: np.ndarray) -> float:
    return float(np.sqrt(np.mean(difference**2) / max(float(np.mean(reference**2)), 1e-30)))
