"""From a checkpoint directory to a model, every tensor accounted for."""

from __future__ import annotations

import functools
import logging
import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import CheckpointError
from ..layers.host_memory import write_transposed
from ..layers.initializers import StartingValues, about_to_load
from .huggingface import is_huggingface, open_huggingface
from .names import Slot, encoder_slots, head_slots, is_other_head, stands_for
from .sentence import read_pooling
from .source import Checkpoint
from .tf1 import is_tf1, open_tf1

logger = logging.getLogger("keras_bert")


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a directory in whichever format it holds.

    Raises:
        CheckpointError: there is no such directory, or no checkpoint in it.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise CheckpointError(f"{path} is not a directory; expected one with a checkpoint")
    if is_huggingface(path):
        return open_huggingface(path)
    if is_tf1(path):
        return open_tf1(path)
    raise CheckpointError(f"{path} holds no checkpoint: expected config.json, or bert_config.json and *.ckpt.index")


def load_encoder(
    cls: Any, path: str | os.PathLike[str], *, pooler: bool | None = None, dtype: Any = None, **changes: Any
) -> Any:
    """`Encoder.from_pretrained`."""
    checkpoint = open_checkpoint(path)
    if pooler is None:
        pooler = bool(checkpoint.names.pooler) and _has(checkpoint, checkpoint.names.pooler)
    with about_to_load(_encoder_sizes(checkpoint)) as values:
        encoder = cls(checkpoint.config.replace(pooler=pooler, **changes), dtype=dtype)
        slots = encoder_slots(encoder, checkpoint.names, checkpoint.dialect)
        _load(slots, checkpoint, values, skip_heads=True)
    return encoder


def load_task(
    cls: Any, path: str | os.PathLike[str], *, dtype: Any = None, new_head: bool = False, **options: Any
) -> Any:
    """`Task.from_pretrained`."""
    from ..config import EncoderConfig
    from ..models import Encoder

    checkpoint = open_checkpoint(path)
    changes = {key: options.pop(key) for key in list(options) if key in EncoderConfig.__dataclass_fields__}
    has_head = not new_head and _has_head(cls, checkpoint)
    options = {**_saved_options(cls, checkpoint, has_head), **options}
    if "tokenizer" not in options:
        options["tokenizer"] = load_tokenizer(checkpoint)
    elif options["tokenizer"] is not None:
        options["tokenizer"].check_vocabulary(checkpoint.config.vocab_size)
    config = checkpoint.config.replace(pooler=cls.needs_pooler(checkpoint.family), **changes)
    with about_to_load(_encoder_sizes(checkpoint)) as values:
        model = cls(Encoder(config, dtype=dtype), **options)
        slots = encoder_slots(model.encoder, checkpoint.names, checkpoint.dialect)
        slots += head_slots(model, checkpoint.names, checkpoint.dialect)
        model.new_parts = _load(slots, checkpoint, values, skip_heads=not has_head)
    return model


def stored_task(checkpoint: Checkpoint) -> str:
    """The task a checkpoint was saved for, or `encoder`.

    Its configuration names a class; where it does not (Google's files), the tensors of the heads tell: the task
    whose head is there as a whole, the one with the most parts.
    """
    known = checkpoint.family.architectures
    owners = [task for task, name in known.items() if name == checkpoint.architecture]
    heads = checkpoint.names.heads
    if "sentence_embedding" in owners:
        return "sentence_embedding" if read_pooling(checkpoint.path) else "encoder"
    if owners == ["masked_lm"] and "pretraining" in known:
        # The published BERTs name the class of the one head and hold both.
        both = [*heads["pretraining"], *checkpoint.names.pooler]
        return "pretraining" if all(_has(checkpoint, [stem]) for stem in both) else "masked_lm"
    if owners:
        return owners[0]
    if checkpoint.architecture is not None:  # a class of another task, whose tensors can have the names of these
        return "encoder"
    whole = [task for task in heads if all(_has(checkpoint, [stem]) for stem in heads[task])]
    return max(whole, key=lambda task: len(heads[task]), default="encoder")


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """The tokenizer that lies beside the weights, or None.

    Raises:
        TokenizerError: its files are broken, or it has ids beyond the embedding.
    """
    from ..tokenizers import Tokenizer
    from ..tokenizers.reading import FILES

    if not any((checkpoint.path / name).exists() for name in FILES):
        return None
    tokenizer = Tokenizer.from_pretrained(checkpoint.path)
    tokenizer.check_vocabulary(checkpoint.config.vocab_size)
    return tokenizer


def left_out(model: Any, checkpoint: Checkpoint) -> list[str]:
    """Tensors of the checkpoint, by their stored names, that have no place in the model that was loaded from it."""
    slots = encoder_slots(getattr(model, "encoder", model), checkpoint.names, checkpoint.dialect)
    if hasattr(model, "task"):
        slots += head_slots(model, checkpoint.names, checkpoint.dialect)
    placed = {slot.name for slot in slots}
    return sorted(stored for name, stored in _resolve_ties(checkpoint, compare=False).items() if name not in placed)


def _has_head(cls: Any, checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint's head is this task's: heads of different tasks can share a tensor name."""
    known = checkpoint.family.architectures
    owner = next((task for task, name in known.items() if name == checkpoint.architecture), None)
    if owner not in (None, "encoder", cls.task) and {owner, cls.task} != {"masked_lm", "pretraining"}:
        return False
    return _has(checkpoint, checkpoint.names.heads.get(cls.task, {}))


def _has(checkpoint: Checkpoint, stems: Iterable[str]) -> bool:
    """Whether any tensor of these names is there."""
    return any(stands_for(stem, name, checkpoint.dialect) for stem in stems for name in checkpoint.tensors)


def _saved_options(cls: Any, checkpoint: Checkpoint, has_head: bool) -> dict[str, Any]:
    """Labels, problem type and pooling that the checkpoint was saved with.

    Raises:
        CheckpointError: its labels are not those of its head.
    """
    raw = checkpoint.raw_config
    options: dict[str, Any] = {}
    if cls.task == "sentence_embedding":
        options = read_pooling(checkpoint.path)
    if has_head and cls.task in ("sequence_classification", "token_classification"):
        count = _label_count(cls, checkpoint)
        labels = raw.get("id2label") or {str(i): f"LABEL_{i}" for i in range(count or 2)}
        count = len(labels) if count is None else count
        names = [labels.get(str(i)) for i in range(count)] if isinstance(labels, Mapping) else [None]
        if len(labels) != count or None in names:
            raise CheckpointError(
                f"{checkpoint.path}: id2label names {len(labels)} labels, expected ids 0 to {count - 1} for a head "
                f"of {count}"
            )
        options["labels"] = names
        if cls.task == "sequence_classification":
            # One output without a problem type is a value, as `transformers` trains it; its softmax would always be 1.
            usual = "regression" if count == 1 else None
            if problem_type := raw.get("problem_type") or usual:
                options["problem_type"] = problem_type
    return options


def _label_count(cls: Any, checkpoint: Checkpoint) -> int | None:
    """Outputs of the stored classifier, or None where its bias is missing (which is told when it is loaded)."""
    biases = {"head.classifier": checkpoint.dialect.bias, "head.classifier.bias": ""}
    for name, path in checkpoint.names.heads[cls.task].items():
        stored = checkpoint.tensors.get(name + biases[path]) if path in biases else None
        if stored is not None:
            return math.prod(checkpoint.shape(stored))
    return None


def _load(slots: list[Slot], checkpoint: Checkpoint, values: StartingValues, *, skip_heads: bool) -> tuple[str, ...]:
    """Let the variables start from the checkpoint's tensors; return the parts that it does not hold.

    Raises:
        CheckpointError: naming every tensor that is missing, left over or misshapen.
    """
    wanted = [slot for slot in slots if not (skip_heads and "head" in slot.part)]
    decoder = checkpoint.names.heads["masked_lm"]
    reads_decoder = any(stands_for(stem, slot.name, checkpoint.dialect) for slot in wanted for stem in decoder)
    available = _resolve_ties(checkpoint, compare=reads_decoder)
    held = {slot.part for slot in wanted if slot.name in available}
    new = tuple(sorted({slot.part for slot in slots} - held - {"encoder"}))
    problems = []
    for slot in wanted:
        if slot.part in new:
            continue
        stored = available.get(slot.name)
        if stored is None:
            problems.append(f"missing {slot.name} {list(slot.shape)}")
        elif checkpoint.shape(stored) != slot.shape:
            came = list(checkpoint.shape(stored))
            hint = " (new_head=True starts a new one; on the command line --new-head)" if "head" in slot.part else ""
            problems.append(f"{stored} has shape {came}, expected {list(slot.shape)}{hint}")
    names = {slot.name for slot in slots}
    for name in available:
        if name not in names and not is_other_head(name, checkpoint.names, checkpoint.dialect):
            problems.append(f"left over {available[name]} {list(checkpoint.shape(available[name]))}")
    if problems:
        listed = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise CheckpointError(f"{checkpoint.path} does not fit a {checkpoint.family.name} model: {listed}")
    for slot in wanted:
        if slot.part not in new:
            values.give(slot.variable, functools.partial(_write, checkpoint, available[slot.name], slot.transposed))
    if new:
        logger.warning("%s holds no %s: it starts new and must be trained", checkpoint.path, " and no ".join(new))
    return new


def _resolve_ties(checkpoint: Checkpoint, *, compare: bool) -> dict[str, str]:
    """Names to be placed: without buffers and second copies, which must prove to be copies where `compare` is set.

    Raises:
        CheckpointError: a second copy differs from the first.
    """
    names = checkpoint.names
    available = {
        name: stored
        for name, stored in checkpoint.tensors.items()
        if not name.endswith(tuple(names.ignored) or ("\0",))
    }
    for copy, original in names.tied.items():
        if copy not in available:
            continue
        stored = available.pop(copy)
        if original not in available:
            available[original] = stored
        elif compare and not np.array_equal(checkpoint.read(stored), checkpoint.read(available[original])):
            raise CheckpointError(
                f"{checkpoint.path}: {stored} differs from {available[original]}; expected the decoder tied to the "
                "token table"
            )
    return available


def _encoder_sizes(checkpoint: Checkpoint) -> list[int]:
    """How many values the tensors of the encoder hold, by what the checkpoint says."""
    return [
        math.prod(checkpoint.shape(stored))
        for name, stored in _resolve_ties(checkpoint, compare=False).items()
        if not is_other_head(name, checkpoint.names, checkpoint.dialect)
    ]


def _write(checkpoint: Checkpoint, name: str, transposed: bool, out: np.ndarray) -> None:
    """Write a tensor of the checkpoint to `out`, float32 and as Keras has it.

    Raises:
        CheckpointError: it cannot be read, or holds something else than finite numbers.
    """
    array = checkpoint.read(name)
    if not np.issubdtype(array.dtype, np.floating) and "float" not in str(array.dtype):
        raise CheckpointError(f"{checkpoint.path}: {name} holds {array.dtype}, expected floating point")
    if not math.isfinite(float(array.sum(dtype=np.float32))):
        raise CheckpointError(f"{checkpoint.path}: {name} holds values that are not finite")
    if transposed:
        write_transposed(array, out)
    else:
        out[...] = array
