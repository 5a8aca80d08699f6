"""README.md beside a compressed model: what it is, what it cost, and who can open it."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from keras_bert.checkpoints.card import MARK, who_opens, write_readme


def write_card(
    path: pathlib.Path,
    job: str,
    model: Any,
    parameters: Mapping[str, int],
    scores: Mapping[str, Mapping[str, float]],
) -> None:
    """Write the card into the model's folder, unless a README.md of another hand is there.

    Args:
        job: that made the model. parameters, scores: by `before` and `after`; scores may be empty.
    """
    config = model.config
    metrics = list(scores.get("after", ()))
    rows = [["", "parameters", *metrics], ["---"] + ["---:"] * (1 + len(metrics))]
    for name, count in parameters.items():
        rows.append([name, f"{count:,}", *(f"{scores[name][metric]:.4f}" for metric in metrics)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    write_readme(
        path,
        f"{MARK}\n\n# {config.family} for {model.task.replace('_', ' ')}, made by `keras-bert {job}`\n\n"
        f"{table}\n\nA Hugging Face checkpoint. {who_opens(model)} report.json holds the recipe.\n",
    )
