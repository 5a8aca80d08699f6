"""What stands behind the scores: per-class tables, and a picture of what is taken for what."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from keras_bert.errors import MissingExtraError
from keras_bert.files import atomic_path

from .report import print_table

# More classes than this fill screens; report.json has them all.
_MOST_ROWS = 30


def per_class(labels: Sequence[str], scores: Sequence[Any]) -> dict[str, dict[str, float]]:
    """Scores by class name, as reports hold them."""
    return {label: score._asdict() for label, score in zip(labels, scores, strict=True)}


def print_details(details: Mapping[str, Any]) -> None:
    """Print the table of the classes, or of the worst of them where they are many."""
    table = details.get("per_class") or details.get("per_type")
    if not table:
        return
    rows = list(table.items())
    title = "by class"
    if len(rows) > _MOST_ROWS:
        title = f"the {_MOST_ROWS} classes of {len(rows)} with the lowest F1"
        rows = sorted(rows, key=lambda item: item[1]["f1"])[:_MOST_ROWS]
    names = list(rows[0][1])
    printed = [
        [label, *(str(values[name]) if name == "support" else f"{values[name]:.4f}" for name in names)]
        for label, values in rows
    ]
    print_table(title, ["", *names], printed)


def check_plots() -> None:
    """Raises MissingExtraError where pictures cannot be drawn: before the work, not after it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("pictures need the extra plots: pip install keras-bert-toolkit[plots]")


def write_plots(folder: pathlib.Path, details: Mapping[str, Any]) -> None:
    """Write `confusion.png` where the details hold a confusion matrix: rows are targets, columns predictions."""
    confusion = details.get("confusion")
    if not confusion:
        return
    check_plots()
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    labels, counts = confusion["labels"], np.array(confusion["matrix"])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = max(4.0, 0.35 * len(labels) + 2)
    figure = Figure(figsize=(size, size), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("target")
    if len(labels) <= _MOST_ROWS:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                shade = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=shade, fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the target")
    with atomic_path(folder / "confusion.png") as path:
        with open(path, "wb") as file:
            canvas.print_png(file)
