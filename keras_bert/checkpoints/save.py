"""From a model to a Hugging Face directory that `transformers` opens."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import keras
import numpy as np

from ..config import EncoderConfig
from ..errors import CheckpointError
from ..files import atomic_directory, atomic_write_json
from ..models.families import get_family
from ..models.quantization import quantizers
from .config_json import parse_config, write_config
from .huggingface import WEIGHTS, write_tensors
from .names import HUGGINGFACE, Slot, encoder_slots, head_slots
from .quantization import QUANTIZATION, write_quantization
from .sentence import FILES as SENTENCE_FILES
from .sentence import write_pooling


def save(model: Any, path: str | os.PathLike[str], *, tokenizer: Any = None) -> None:
    """Write config.json, model.safetensors and the tokenizer of an `Encoder` or a task model, whole or not at all.

    Raises:
        CheckpointError: the encoder has weights that its family's checkpoints have no name for.
    """
    config = model.config
    family = get_family(config.family)
    task = getattr(model, "task", "encoder")
    names = family.huggingface
    encoder = getattr(model, "encoder", model)
    architecture = family.architectures.get(task, family.architectures["masked_lm"])
    prefix = "" if architecture == family.architectures["encoder"] else names.prefix
    slots = encoder_slots(encoder, names, HUGGINGFACE)
    named = {id(slot.variable) for slot in slots}
    rounding = quantizers(model)
    named |= {id(variable) for quantizer in rounding.values() for variable in quantizer.weights}
    lost = [v.path for v in encoder.weights if id(v) not in named and "seed_generator" not in v.path]
    if lost:
        raise CheckpointError(
            f"cannot save to {path}: checkpoints of the family {family.name} have no name for {', '.join(lost)}"
        )
    tensors = {prefix + slot.name: _values(slot) for slot in slots}
    if encoder is not model:
        task_names = head_slots(model, names, HUGGINGFACE)
        tensors.update({slot.name: _values(slot) for slot in task_names})
    raw = write_config(config, architecture)
    _check_kept(config, raw, path)
    raw.update(_labels(model))
    with atomic_directory(path) as folder:
        atomic_write_json(folder / "config.json", raw)
        write_tensors(folder / WEIGHTS, tensors)
        if tokenizer is not None:
            tokenizer.save(folder, family=family.name)
        if task == "sentence_embedding":
            write_pooling(folder, model)
        write_quantization(folder, rounding)
    # What says something of the weights that were there before.
    stale = [] if rounding else [QUANTIZATION]
    stale += [] if task == "sentence_embedding" else SENTENCE_FILES
    for name in stale:
        (pathlib.Path(path) / name).unlink(missing_ok=True)


def _check_kept(config: EncoderConfig, raw: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Refuse a configuration that would be another one when it is read again.

    Raises:
        CheckpointError: naming what the family's configuration file cannot say.
    """
    _, read = parse_config(raw, pathlib.Path(path) / "config.json")
    before, after = config.to_dict(), read.replace(pooler=config.pooler).to_dict()
    changed = [
        f"{key} {before[key]!r} (would be read as {after[key]!r})" for key in before if before[key] != after[key]
    ]
    if changed:
        raise CheckpointError(
            f"cannot save to {path}: a configuration file of the family {config.family} has no place for "
            + ", ".join(changed)
        )


def _values(slot: Slot) -> np.ndarray:
    values = keras.ops.convert_to_numpy(slot.variable.value).astype(np.float32, copy=False)
    return np.ascontiguousarray(values.T if slot.transposed else values)


def _labels(model: Any) -> dict[str, Any]:
    """`id2label`, `label2id` and `problem_type` of a task with labels."""
    labels = getattr(model, "labels", None)
    if labels is None:
        return {}
    raw: dict[str, Any] = {
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }
    if hasattr(model, "problem_type"):
        raw["problem_type"] = model.problem_type
    return raw
