"""A run's state on disk: each checkpoint is a Hugging Face checkpoint with the optimizer and the position beside it."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

import numpy as np

from ..checkpoints.huggingface import write_tensors
from ..checkpoints.load import open_checkpoint
from ..checkpoints.names import HUGGINGFACE, encoder_slots, head_slots
from ..checkpoints.save import save
from ..checkpoints.tensor_file import TensorFile
from ..errors import CheckpointError
from ..files import atomic_directory, atomic_write_json
from .step import PretrainingStep

OPTIMIZER_FILE, STATE_FILE = "optimizer.safetensors", "state.json"


@dataclasses.dataclass
class Progress:
    """Where a run is, beside the values of its variables.

    Attributes:
        step: steps taken. positions: next example of every lane, `[epoch, shard, row]` each.
        pending, pending_steps: sums and number of the steps since the last record of `metrics.jsonl`, but for skipped
            ones. pending_seconds: time spent in all of them.
        tokens: tokens seen. skipped: steps that float16 skipped. seconds: time spent in steps.
        evaluation: scores of this very step, where it was evaluated.
    """

    step: int = 0
    positions: list[list[int]] | None = None
    pending: list[float] = dataclasses.field(default_factory=list)
    pending_steps: int = 0
    pending_seconds: float = 0.0
    tokens: float = 0.0
    skipped: int = 0
    seconds: float = 0.0
    evaluation: dict[str, float] | None = None


def save_state(folder: pathlib.Path, model: Any, step: PretrainingStep, progress: Progress) -> None:
    """Write weights, tokenizer, optimizer slots and progress to a new folder, whole or not at all.

    Raises:
        KerasBertError: the disk is full or cannot be written; nothing of the folder is there.
    """
    with atomic_directory(folder) as temporary:
        save(model, temporary, tokenizer=model.tokenizer)
        write_tensors(temporary / OPTIMIZER_FILE, {name: v.numpy() for name, v in _slots(step).items()})
        values = {name: float(variable.numpy()) for name, variable in step.state.items()}
        atomic_write_json(temporary / STATE_FILE, {**dataclasses.asdict(progress), "variables": values})
        for file in temporary.iterdir():
            _flush(file)


def restore_state(folder: pathlib.Path, model: Any, step: PretrainingStep) -> Progress:
    """Give model, optimizer and step the values of a checkpoint.

    Raises:
        CheckpointError: a file is missing or broken, or of another model.
    """
    checkpoint = open_checkpoint(folder)
    for slot in encoder_slots(model.encoder, checkpoint.names, HUGGINGFACE) + head_slots(
        model, checkpoint.names, HUGGINGFACE
    ):
        if slot.name not in checkpoint.tensors:
            raise CheckpointError(f"{folder}: {slot.name} is missing")
        values = checkpoint.read(checkpoint.tensors[slot.name])
        slot.variable.assign(values.T if slot.transposed else values)
    slots = TensorFile(folder / OPTIMIZER_FILE)
    for name, variable in _slots(step).items():
        if name not in slots.names or slots.shape(name) != tuple(variable.shape):
            raise CheckpointError(f"{slots.path}: expected {name} {list(variable.shape)}")
        variable.assign(slots.read(name))
    try:
        state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        for name, value in state.pop("variables").items():
            step.state[name].assign(np.asarray(value, step.state[name].dtype))
        return Progress(**state)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / STATE_FILE} cannot be read: {error!r}") from error


def read_evaluation(folder: pathlib.Path) -> float | None:
    """The loss that a checkpoint scored in evaluation, None where it was not evaluated."""
    try:
        state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        return float(state["evaluation"]["loss"]) if state["evaluation"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _slots(step: PretrainingStep) -> dict[str, Any]:
    """Name in the file -> optimizer variable of each trainable variable."""
    named = {}
    optimizer = step.optimizer
    for kind, variables in (("first_moment", optimizer.first_moments), ("second_moment", optimizer.second_moments)):
        for trained, variable in zip(step.trainable, variables, strict=True):
            named[f"{trained.path}/{kind}"] = variable
    if len(named) != 2 * len(step.trainable):
        raise CheckpointError("two trainable variables have the same path: their optimizer slots cannot be told apart")
    return named


def _flush(path: pathlib.Path) -> None:
    """Down to the disk before the folder gets its name, so that a power cut leaves no checkpoint of empty files."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
