"""The model that a run starts from: a preset at random, or a checkpoint."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import numpy as np

from ..checkpoints.names import HUGGINGFACE, encoder_slots, head_slots
from ..config import PRESETS
from ..data.pretraining import PretrainingData
from ..errors import ConfigError
from ..layers.embeddings import Sinusoids
from ..models import Encoder, MaskedLanguageModel, PretrainingModel, get_family
from .cooccurrence import cooccurrence_table
from .run_config import PRECISIONS, ModelSettings, RunConfig
from .strategies import Distribution
from .teacher import check_student, student_of
from .vocabulary import extend_vocabulary

# Fields that may differ from those of a checkpoint that a run starts from: its weights fit all the same.
_FREE_FIELDS = ("hidden_dropout", "attention_dropout", "classifier_dropout")
# Tokens of the corpus that are counted for a token table, at most.
COUNTED_TOKENS = 10_000_000


def initial_model(
    config: RunConfig,
    tokenizer: Any,
    teacher: MaskedLanguageModel | None = None,
    saved: pathlib.Path | None = None,
) -> Any:
    """A `MaskedLanguageModel` (objective `mlm`) or a `PretrainingModel` (`nsp`, `sop`), with the data's tokenizer.

    Call it inside the strategy's scope.

    Args:
        teacher: whom it is to learn from.
        saved: the checkpoint of the run that goes on; where it began from one, that one is no longer needed.

    Raises:
        ConfigError: the family has no sentence objective, the sequences are longer than its positions, or a field
            that a checkpoint fixes is changed, or the model cannot learn from the teacher.
        CheckpointError, TokenizerError: the checkpoint cannot be read, or the data's tokenizer is not its own (new
            tokens apart).
    """
    objective = config.examples.objective
    cls = MaskedLanguageModel if objective == "mlm" else PretrainingModel
    policy = PRECISIONS[config.training.precision]
    settings = config.model
    from_layers = config.distillation.layers > 0
    source = config.distillation.teacher if from_layers else settings.init
    if source and (fixed := sorted(set(settings.encoder) - set(_FREE_FIELDS))):
        raise ConfigError(
            f"model.encoder.{fixed[0]}: the checkpoint {source} fixes it; free are {', '.join(_FREE_FIELDS)}"
        )
    if teacher is not None and from_layers:
        model = student_of(teacher, config, tokenizer)
        _check_shape(model.config, settings, "distillation.layers")
    elif settings.init:
        model = cls.from_pretrained(saved or settings.init, dtype=policy, **settings.encoder)
        _check_shape(model.config, settings, "model.init")
        if model.tokenizer is None:
            model.tokenizer = tokenizer
            tokenizer.check_vocabulary(model.config.vocab_size)
        model = extend_vocabulary(model, tokenizer)
    else:
        preset = PRESETS[settings.preset]
        own = {"vocab_size": tokenizer.vocab_size, "pad_token_id": tokenizer.pad_id}
        if preset.embedding_size == preset.hidden_size:
            own["embedding_size"] = 0  # goes with another hidden size
        encoder_config = preset.replace(**{**own, **settings.encoder})
        tokenizer.check_vocabulary(encoder_config.vocab_size)
        pooler = cls.needs_pooler(get_family(encoder_config.family))
        model = cls(Encoder(encoder_config.replace(pooler=pooler), dtype=policy), tokenizer=tokenizer)
        _check_storable(model)
        if settings.positions == "sinusoids":
            _start_from_sinusoids(model.encoder)
    if objective != "mlm" and model.sentence_head is None:
        raise ConfigError(f"examples.objective: expected mlm for the family {model.config.family}, got {objective!r}")
    if teacher is not None:
        check_student(model, teacher, config)
    length = config.examples.sequence_length
    if length > model.config.max_positions:
        raise ConfigError(f"examples.sequence_length: expected at most {model.config.max_positions}, got {length}")
    return model


def start_from_counts(encoder: Encoder, data: PretrainingData, distribution: Distribution) -> None:
    """Set the token table to what stands beside each token in the text, each row as large as random values would be.

    The chief counts: processors may differ in the last digits, and workers must start from the same table.

    Raises:
        DataError: a damaged shard.
    """
    table = encoder.embeddings.token_table
    found = np.zeros(table.shape, np.float32)
    if distribution.is_chief:
        found = cooccurrence_table(data.first_documents(COUNTED_TOKENS), *table.shape)
    found = distribution.sum_over_workers(found.view(np.int32)).view(np.float32)
    size = np.sqrt(np.mean(np.square(found), axis=1, keepdims=True))
    known = size > 0  # rows of tokens that were not met stay random
    table.assign(np.where(known, encoder.config.initializer_range * found / np.where(known, size, 1), table.numpy()))


def _start_from_sinusoids(encoder: Encoder) -> None:
    """Set the position table to sines and cosines of the variance that random values would have."""
    config, table = encoder.config, encoder.embeddings.position_table
    if config.sinusoidal_positions:
        raise ConfigError("model.positions: expected random with model.encoder.sinusoidal_positions, got sinusoids")
    table.assign(math.sqrt(2) * config.initializer_range * Sinusoids()(table.shape))


def _check_shape(found: Any, settings: ModelSettings, key: str) -> None:
    """Raise ConfigError for a model, from what `key` says, that is not of the preset's shape."""
    if not settings.preset:
        return
    of_layers = ("num_layers", "num_heads", "intermediate_size", "intermediate_sizes")
    for name in ("family", "hidden_size", "embedding_size", *of_layers):
        expected, came = getattr(PRESETS[settings.preset], name), getattr(found, name)
        if expected != came:
            raise ConfigError(f"{key}: expected the shape of {settings.preset}, {name} {expected}, got {came}")


def _check_storable(model: Any) -> None:
    """Raise ConfigError for a weight that the family's checkpoints have no name for: it would be lost."""
    names = get_family(model.config.family).huggingface
    slots = encoder_slots(model.encoder, names, HUGGINGFACE) + head_slots(model, names, HUGGINGFACE)
    stored = {slot.variable.path for slot in slots}
    if lost := [variable.path for variable in model.trainable_variables if variable.path not in stored]:
        raise ConfigError(f"model.encoder: checkpoints of the family {model.config.family} have no place for {lost[0]}")
