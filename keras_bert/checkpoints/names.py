"""Name tables made concrete: which tensor of a checkpoint is which variable of a model, in both directions."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from ..models.family import CheckpointNames


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How a format spells the weights of a layer.

    Attributes:
        kernel, bias, scale, shift: endings for Dense and LayerNorm.
        transposed: whether kernels are stored [out, in], where Keras has [in, out].
    """

    kernel: str
    bias: str
    scale: str
    shift: str
    transposed: bool


HUGGINGFACE = Dialect(kernel=".weight", bias=".bias", scale=".weight", shift=".bias", transposed=True)
TF1 = Dialect(kernel="/kernel", bias="/bias", scale="/gamma", shift="/beta", transposed=False)


@dataclasses.dataclass(frozen=True)
class Slot:
    """One tensor of a checkpoint and the variable it belongs to.

    Attributes:
        name: the tensor's name, without the family's prefix for parts of the encoder.
        variable: the Keras variable.
        transposed: whether the checkpoint holds the transpose.
        part: `encoder`, `encoder.pooler`, `head` or `sentence_head`: parts are there as a whole or not at all.
    """

    name: str
    variable: keras.Variable
    transposed: bool
    part: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor in the checkpoint."""
        shape = tuple(self.variable.shape)
        return shape[::-1] if self.transposed else shape


def encoder_slots(encoder: Any, names: CheckpointNames, dialect: Dialect) -> list[Slot]:
    """The slots of an encoder, names without prefix, in the order of the forward pass."""
    slots = []
    for name, path in names.encoder.items():
        slots += _slots(name, path, encoder, dialect, "encoder")
    inner = encoder.config.layers_per_group
    for index, block in enumerate(encoder.blocks):
        prefix = names.block_prefix.format(i=index, g=index // inner, j=index % inner)
        for name, path in names.block.items():
            slots += _slots(prefix + name, path, block, dialect, "encoder")
    for name, path in names.pooler.items():
        slots += _slots(name, path, encoder, dialect, "encoder.pooler")
    return slots


def head_slots(model: Any, names: CheckpointNames, dialect: Dialect) -> list[Slot]:
    """The slots of a task model's head; none where the task has no weights of its own."""
    slots = []
    for name, path in names.heads.get(model.task, {}).items():
        slots += _slots(name, path, model, dialect, path.split(".")[0])
    return slots


def _slots(name: str, path: str, root: Any, dialect: Dialect, part: str) -> list[Slot]:
    """What `name` stands for: the weights of a layer, one variable, or nothing where the model lacks that part."""
    path, transposed = path.removesuffix(".T"), path.endswith(".T")
    target = root
    for attribute in path.split("."):
        target = getattr(target, attribute, None)
        if target is None:
            return []
    if isinstance(target, keras.layers.Dense):
        return [
            Slot(name + dialect.kernel, target.kernel, dialect.transposed, part),
            Slot(name + dialect.bias, target.bias, False, part),
        ]
    if isinstance(target, keras.layers.LayerNormalization):
        return [
            Slot(name + dialect.scale, target.gamma, False, part),
            Slot(name + dialect.shift, target.beta, False, part),
        ]
    return [Slot(name, target, transposed, part)]


def stands_for(stem: str, name: str, dialect: Dialect) -> bool:
    """Whether a tensor called `name` is what the table's `stem` leads to: a variable, or a weight of a layer."""
    endings = ("", dialect.kernel, dialect.bias, dialect.scale, dialect.shift)
    return name.startswith(stem) and name[len(stem) :] in endings


def is_other_head(name: str, names: CheckpointNames, dialect: Dialect) -> bool:
    """Whether `name` (no prefix) is known to belong to some head or pooler of the family, needed here or not."""
    stems = [*names.pooler, *(stem for head in names.heads.values() for stem in head)]
    return any(stands_for(stem, name, dialect) for stem in stems)
