"""A teacher in the pretraining loop: DistilBERT's triple loss, and the student's first weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from ..errors import ConfigError
from ..models import MaskedLanguageModel, pretraining_network
from ..models.structure import as_distilbert, keep_layers, spread_layers
from .distillation import cosine_loss, soft_label_loss
from .objectives import SMOOTHING, Objective
from .run_config import PRECISIONS, RunConfig


class TripleObjective(Objective):
    """Soft labels, masked language model and hidden states, as `DistillationSettings` weighs them.

    The teacher reads the same masked rows, without dropout. Its logits are computed at the masked places alone; hidden
    states are compared at all tokens. Each part is divided as the masked tokens' loss is, so that shares add up.

    Args:
        teacher: what `read_teacher` returns.
    """

    def __init__(self, teacher: MaskedLanguageModel, config: RunConfig) -> None:
        settings = config.distillation
        self.temperature = settings.temperature
        self.weights = (settings.masked, 0.0, settings.soft, settings.cosine)
        self.reads_hidden_states = settings.cosine > 0
        self.network = pretraining_network(teacher, packed=config.examples.pack, hidden=self.reads_hidden_states)

    def taught(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        # Shards of a family without segments have none: all is the first segment then.
        features = {name: batch[name] for name in self.network.inputs_needed if name in batch}
        return {name: tf.stop_gradient(value) for name, value in self.network(features, training=False).items()}

    def teacher_losses(
        self,
        outputs: Mapping[str, tf.Tensor],
        batch: Mapping[str, tf.Tensor],
        totals: tf.Tensor,
        taught: Mapping[str, tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        masked, mask = (tf.cast(batch[name], tf.float32) for name in ("masked_weights", "padding_mask"))
        soft = soft_label_loss(taught["mlm_logits"], outputs["mlm_logits"], self.temperature, masked)
        soft *= tf.reduce_sum(masked) / (totals[0] + SMOOTHING)
        if not self.reads_hidden_states:
            return soft, tf.constant(0.0)
        cosine = cosine_loss(taught["sequence_output"], outputs["sequence_output"], mask)
        return soft, cosine * tf.reduce_sum(mask) / (totals[2] + SMOOTHING)


def read_teacher(config: RunConfig, tokenizer: Any) -> MaskedLanguageModel:
    """The teacher of a run, in the run's precision; call it inside the strategy's scope.

    Raises:
        ConfigError: none is named, it has no masked-language-model head, or its vocabulary is not that of the data.
        CheckpointError, TokenizerError: it cannot be read.
    """
    path = config.distillation.teacher
    if not path:
        raise ConfigError("distillation.teacher: expected a checkpoint's directory, got nothing")
    # A student made of its layers has its configuration, but for the dropout.
    changes = config.model.encoder if config.distillation.layers else {}
    teacher = MaskedLanguageModel.from_pretrained(path, dtype=PRECISIONS[config.training.precision], **changes)
    if teacher.new_parts:
        raise ConfigError(f"distillation.teacher: expected a masked-language-model head in {path}, found none")
    if teacher.tokenizer is not None and teacher.tokenizer.vocab != tokenizer.vocab:
        raise ConfigError(
            f"distillation.teacher: the vocabularies differ: {path} reads with {teacher.tokenizer.vocab_size:,} "
            f"tokens, the shards were made with {tokenizer.vocab_size:,}"
        )
    tokenizer.check_vocabulary(teacher.config.vocab_size)
    length = config.examples.sequence_length
    if length > teacher.config.max_positions:
        raise ConfigError(f"examples.sequence_length: expected at most {teacher.config.max_positions}, got {length}")
    return teacher


def student_of(teacher: MaskedLanguageModel, config: RunConfig, tokenizer: Any) -> MaskedLanguageModel:
    """A student with the weights of some of the teacher's layers, its tables and its head, bit for bit; a DistilBERT
    where the configuration says so (see `as_distilbert`).

    Raises:
        ConfigError: more layers than the teacher has, or a sharing of layers that has no smaller form.
    """
    layers = spread_layers(teacher.config.num_layers, config.distillation.layers)
    student = keep_layers(teacher, layers)
    if config.distillation.family:
        student = as_distilbert(student)
    student.tokenizer = tokenizer
    return student


def check_student(student: Any, teacher: MaskedLanguageModel, config: RunConfig) -> None:
    """Raise ConfigError for a student that cannot learn from the teacher, or is larger than it."""
    own, other = student.config, teacher.config
    if own.vocab_size != other.vocab_size:
        raise ConfigError(
            f"distillation.teacher: the student has {own.vocab_size:,} rows of tokens, the teacher {other.vocab_size:,}"
        )
    if config.distillation.cosine and own.hidden_size != other.hidden_size:
        raise ConfigError(
            f"distillation.cosine: hidden states of one width are compared, the student has {own.hidden_size}, the "
            f"teacher {other.hidden_size}: set it to 0, or give the student the teacher's width"
        )
    if student.count_params() > teacher.count_params():
        raise ConfigError(
            f"the student has {student.count_params():,} parameters, more than the teacher's "
            f"{teacher.count_params():,}: expected a smaller one"
        )
