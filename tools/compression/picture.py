"""The trade between size and score as a picture."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from keras_bert.errors import MissingExtraError
from keras_bert.files import atomic_path


def pareto_front(rows: Sequence[Mapping[str, Any]], cost: str, worth: str) -> list[int]:
    """Indices of the rows that no other beats in both, by rising cost."""
    order = sorted(range(len(rows)), key=lambda i: (rows[i][cost], -rows[i][worth]))
    front: list[int] = []
    for index in order:
        if not front or rows[index][worth] > rows[front[-1]][worth]:
            front.append(index)
    return front


def figure_class() -> Any:
    """matplotlib's `Figure`.

    Raises:
        MissingExtraError: matplotlib is not installed (extra `plots`).
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("the picture needs the extra plots: pip install keras-bert-toolkit[plots]") from None
    return Figure


def draw(rows: Sequence[Mapping[str, Any]], worth: str, split: str, folder: pathlib.Path) -> None:
    """Write `pareto.png` and `pareto.svg`: score on a split with its interval over file size and over latency."""
    figure = figure_class()(figsize=(11, 4.5), layout="constrained")
    costs = (("size", "file, MB", 1e6), ("latency", "median latency, ms", 1))
    for axes, (cost, label, scale) in zip(figure.subplots(1, 2, sharey=True), costs, strict=True):
        for row in rows:
            x = row[cost] / scale
            axes.plot([x, x], [row["low"], row["high"]], color="0.75", linewidth=1)
            axes.plot(x, row[worth], "o", color="C0")
            axes.annotate(row["name"], (x, row[worth]), fontsize=7, xytext=(4, 4), textcoords="offset points")
        front = [rows[index] for index in pareto_front(rows, cost, worth)]
        axes.plot([row[cost] / scale for row in front], [row[worth] for row in front], color="C1", linewidth=1)
        axes.set_xscale("log")
        axes.set_xlabel(label)
        axes.set_ylabel(f"{worth} on {split} (95% interval)")
    for kind in ("png", "svg"):
        with atomic_path(folder / f"pareto.{kind}") as temporary:
            figure.savefig(temporary, format=kind, dpi=150)
