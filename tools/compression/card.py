"""README.md beside a compressed model: what it is, what it cost, and who can open it."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from keras_bert.files import atomic_write_text

_NARROW = (
    "Attention heads were removed, so that the attention is {attention} wide and the encoder {hidden}: `head_size` in"
    " config.json says so. `transformers` cannot express this and refuses the checkpoint; keras_bert and the files that"
    " `keras-bert export` writes can."
)


def write_card(
    path: pathlib.Path,
    job: str,
    model: Any,
    parameters: Mapping[str, int],
    scores: Mapping[str, Mapping[str, float]],
) -> None:
    """Write the card.

    Args:
        job: that made the model. parameters, scores: by `before` and `after`; scores may be empty.
    """
    config = model.config
    metrics = list(scores.get("after", ()))
    rows = [["", "parameters", *metrics], ["---"] + ["---:"] * (1 + len(metrics))]
    for name, count in parameters.items():
        rows.append([name, f"{count:,}", *(f"{scores[name][metric]:.4f}" for metric in metrics)])
    opens = "`transformers` opens it."
    if config.head_size is not None:
        opens = _NARROW.format(attention=config.attention_size, hidden=config.hidden_size)
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    atomic_write_text(
        path,
        f"# {config.family} for {model.task.replace('_', ' ')}, made by `keras-bert {job}`\n\n"
        f"{table}\n\nA Hugging Face checkpoint. {opens} report.json holds the recipe.\n",
    )
