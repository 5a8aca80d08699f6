"""README.md of a saved model: what it is, how it was made, how well it does, how it is used."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from ..files import atomic_write_text
from ..models.quantization import quantizers

# The line by which a card of ours is known: another README.md is not ours to overwrite.
MARK = "<!-- model card written by keras_bert -->"

_PIPELINES = {
    "sequence_classification": "text-classification",
    "token_classification": "token-classification",
    "question_answering": "question-answering",
    "sentence_embedding": "sentence-similarity",
    "masked_lm": "fill-mask",
}
_MOST_LABELS = 100
_NARROW = (
    "Attention heads were removed, so that the attention is {attention} wide and the encoder {hidden}: `head_size` in"
    " config.json says so."
)
_UNLIKE = (
    "Feed-forward units were removed, and not equally many in each layer: `intermediate_sizes` in config.json says so."
)
_OURS_ALONE = (
    "`transformers` cannot express this and refuses the checkpoint; keras_bert and the files that `keras-bert export`"
    " writes can."
)
_ROUNDED = (
    "It was trained with the rounding of integers in its layers: quantization.safetensors holds the ranges, by which"
    " `keras-bert quantize` writes its file. Read without them it is an ordinary model in floating point."
)


def write_card(path: str | os.PathLike[str], model: Any, facts: Mapping[str, Any] | None = None) -> None:
    """Write the card into the folder of a saved model, unless a README.md of another hand is there."""
    write_readme(path, model_card(model, facts))


def write_readme(path: str | os.PathLike[str], card: str) -> None:
    """Write a card, which holds `MARK`, as README.md into a folder, unless one of another hand is there."""
    target = pathlib.Path(path) / "README.md"
    if target.exists() and MARK not in target.read_text(encoding="utf-8", errors="replace"):
        return
    atomic_write_text(target, card)


def who_opens(model: Any) -> str:
    """Who reads the checkpoint of a model beside this library, and what is in it that they do not read."""
    config = model.config
    told = []
    if config.head_size is not None:
        told.append(_NARROW.format(attention=config.attention_size, hidden=config.hidden_size))
    if config.intermediate_sizes is not None:
        told.append(_UNLIKE)
    told.append(_OURS_ALONE if told else "`transformers` opens it too.")
    if quantizers(model):
        told.append(_ROUNDED)
    return " ".join(told)


def model_card(model: Any, facts: Mapping[str, Any] | None = None) -> str:
    """The card as Markdown, with the metadata block that Hugging Face's hub reads.

    Args:
        model: a task model.
        facts: any of `checkpoint` (what training started from), `examples` (split -> how many), `settings` (name ->
            value), `scores` (split -> metric -> value), `summary` (split -> metric -> mean and deviation over seeds),
            `best_epoch`, `seed`.
    """
    facts = facts or {}
    title = f"{model.config.family} for {model.task.replace('_', ' ')}"
    parts = [_front_matter(model, facts), MARK, f"# {title}", _what(model, facts)]
    for make in (_scores, _summary, _training, _labels):
        parts += make(model, facts)
    return "\n\n".join([*parts, _use(model)]) + "\n"


def _front_matter(model: Any, facts: Mapping[str, Any]) -> str:
    lines = ["library_name: keras", "tags:", "- keras_bert", f"- {model.config.family}"]
    if model.task in _PIPELINES:
        lines.append(f"pipeline_tag: {_PIPELINES[model.task]}")
    metrics = dict.fromkeys(name for values in facts.get("scores", {}).values() for name in values)
    if metrics:
        lines += ["metrics:", *(f"- {name}" for name in metrics)]
    return "\n".join(["---", *lines, "---"])


def _what(model: Any, facts: Mapping[str, Any]) -> str:
    config = model.config
    start = f", fine-tuned from `{facts['checkpoint']}`" if facts.get("checkpoint") else ""
    return (
        f"A {config.family} encoder of {config.num_layers} layers, hidden size {config.hidden_size}, "
        f"{model.count_params():,} parameters in all{start}. It reads up to {config.max_positions} tokens."
    )


def _scores(model: Any, facts: Mapping[str, Any]) -> list[str]:
    scores = facts.get("scores")
    if not scores:
        return []
    names = list(dict.fromkeys(name for values in scores.values() for name in values))
    examples = facts.get("examples", {})
    rows = [
        [f"{split} ({examples[split]:,})" if split in examples else split, *(_number(values.get(n)) for n in names)]
        for split, values in scores.items()
    ]
    return ["## Scores", _table(["split (examples)", *names], rows)]


def _summary(model: Any, facts: Mapping[str, Any]) -> list[str]:
    if not facts.get("summary"):
        return []
    rows = [
        [split, name, _number(value["mean"]), _number(value["deviation"])]
        for split, values in facts["summary"].items()
        for name, value in values.items()
    ]
    kept = "the best of them on dev" if "dev" in facts["summary"] else "that of the first"
    return [
        f"Over all seeds; this model is {kept}.",
        _table(["split", "metric", "mean", "deviation"], rows),
    ]


def _training(model: Any, facts: Mapping[str, Any]) -> list[str]:
    rows = [[name.replace("_", " "), str(value)] for name, value in facts.get("settings", {}).items()]
    examples = facts.get("examples", {})
    if "train" in examples:
        rows.insert(0, ["training examples", f"{examples['train']:,}"])
    rows += [[name.replace("_", " "), str(facts[name])] for name in ("best_epoch", "seed") if name in facts]
    return ["## Training", _table(["", ""], rows)] if rows else []


def _labels(model: Any, facts: Mapping[str, Any]) -> list[str]:
    labels = getattr(model, "labels", None)
    if not labels:
        return []
    shown = ", ".join(f"`{_cell(label)}`" for label in labels[:_MOST_LABELS])
    more = f" and {len(labels) - _MOST_LABELS} more" if len(labels) > _MOST_LABELS else ""
    return [f"Labels: {shown}{more}."]


def _use(model: Any) -> str:
    code = f'import keras_bert as kb\n\nmodel = kb.{type(model).__name__}.from_pretrained("path/to/this/folder")'
    return f"## Use\n\n```python\n{code}\n```\n\nor `keras-bert predict path/to/this/folder`. {who_opens(model)}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
