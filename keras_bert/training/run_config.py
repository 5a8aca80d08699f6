"""The configuration of a pretraining run as frozen dataclasses, every key known and checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..config import PRESETS, EncoderConfig
from ..data.pretraining import PretrainingSettings
from ..errors import ConfigError
from .config_checks import known_keys, one_of, positive, require, typed
from .distillation_settings import DistillationSettings
from .optimizers import OPTIMIZERS
from .strategies import STRATEGIES

# Keras dtype policy of each precision. Weights, gradients, slots and losses are float32 in all of them.
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
POSITIONS = ("random", "sinusoids")
AUTO, ELEMENTWISE = "auto", "elementwise"
TOKENS = ("random", "cooccurrence")


def check_jit_compile(key: str, value: bool | str) -> None:
    """True, False, `auto` or `elementwise`; `key` opens the message.

    Raises:
        ConfigError: anything else.
    """
    known = isinstance(value, bool) or value in (AUTO, ELEMENTWISE)
    require(known, key, f"true, false, {AUTO} or {ELEMENTWISE}", value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What is trained.

    Attributes:
        preset: a name of `PRESETS`, the model's shape. init: a checkpoint directory to start from, not at random;
            where both are given it must have that shape. A student of a teacher's layers needs neither.
        encoder: fields of `EncoderConfig` to change, such as `num_layers`; with `init`, or a teacher's layers, dropout
            rates alone. The vocabulary's size and padding token are the tokenizer's.
        positions: what the position table of a preset starts from and is trained like any other: `random`, or
            `sinusoids` (Transformer paper, section 3.5: a step to the side is one linear map wherever it begins), as
            large as random values.
        tokens: what the token table of a preset starts from: `random`, or `cooccurrence`, the leading directions of
            which tokens stand beside each in the text (`cooccurrence_table`), as large as random values.
    """

    preset: str = ""
    init: str = ""
    positions: str = "random"
    tokens: str = "random"
    encoder: dict[str, Any] = dataclasses.field(default_factory=dict)

    def check(self) -> None:
        require(not self.preset or self.preset in PRESETS, "model.preset", f"one of {', '.join(PRESETS)}", self.preset)
        known_keys("[model.encoder]", self.encoder, [field.name for field in dataclasses.fields(EncoderConfig)])
        one_of("model.positions", self.positions, POSITIONS)
        one_of("model.tokens", self.tokens, TOKENS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Where examples come from.

    Attributes:
        folder: shards, as `keras-bert prepare-data` writes them (also `--data`).
        evaluation: a folder of held-out shards; empty: no evaluation.
        lanes: streams that each global batch is taken from; workers share them, so their number divides it.
    """

    folder: str = ""
    evaluation: str = ""
    lanes: int = 8

    def check(self) -> None:
        positive(self, "data", "lanes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How long, in which batches and in which precision.

    Attributes:
        steps: optimizer steps of the whole run. batch_size: examples a step, over all replicas.
        micro_batch_size: examples that a replica holds at once; it adds up gradients until its share of the batch is
            done. 0: its whole share.
        precision: `float32`, `bfloat16` or `float16` (with dynamic loss scaling).
        jit_compile: XLA; `elementwise`: for what lies between the matrix products alone, and TensorFlow computes these,
            which knows a CPU's instructions for bfloat16 and AVX512; `auto`: that on a CPU for bfloat16 and, where
            there is AVX512, for float32, true for all else.
        steps_per_call: steps between two looks of Python. rematerialize: keep only the inputs of each layer and
            compute the rest again on the way back.
        seed: of weights, examples and dropout.
    """

    steps: int
    batch_size: int
    micro_batch_size: int = 0
    precision: str = "float32"
    jit_compile: bool | str = AUTO
    steps_per_call: int = 1
    rematerialize: bool = False
    seed: int = 0

    def check(self) -> None:
        positive(self, "training", "steps", "batch_size", "steps_per_call")
        require(self.micro_batch_size >= 0, "training.micro_batch_size", "0 or more", self.micro_batch_size)
        check_jit_compile("training.jit_compile", self.jit_compile)
        require(0 <= self.seed < 2**32, "training.seed", "a number from 0 to 2^32 - 1", self.seed)
        one_of("training.precision", self.precision, PRECISIONS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """The optimizer and its learning rate.

    Attributes:
        name: `adamw` (as BERT's code) or `lamb` (as its paper). learning_rate: the peak.
        warmup_steps: steps to the peak; then (1 - progress) ** power down to `end_learning_rate`; power 1 is linear.
        clip_norm: largest norm of the whole gradient; 0 does not clip.
        bias_correction: of the moments; without it AdamW is as BERT's code has it. LAMB always corrects.
    """

    learning_rate: float
    name: str = "adamw"
    warmup_steps: int = 0
    power: float = 1.0
    end_learning_rate: float = 0.0
    weight_decay: float = 0.01
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-6
    clip_norm: float = 1.0
    bias_correction: bool = False

    def check(self) -> None:
        one_of("optimizer.name", self.name, OPTIMIZERS)
        positive(self, "optimizer", "learning_rate", "power", "epsilon")
        for name in ("warmup_steps", "weight_decay", "clip_norm", "end_learning_rate"):
            require(getattr(self, name) >= 0, f"optimizer.{name}", "0 or more", getattr(self, name))
        for name in ("beta_1", "beta_2"):
            require(0 < getattr(self, name) < 1, f"optimizer.{name}", "a number between 0 and 1", getattr(self, name))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """Scores on held-out shards: always the same first batches, without dropout.

    Attributes:
        every: steps between two evaluations; the last step is always evaluated. batches: how many batches.
        batch_size: examples a batch; 0: as many as the replicas hold at once in training.
        mask_rate: share of tokens to predict, so that runs that train at different ones compare; 0: as in training.
    """

    every: int = 1000
    batches: int = 20
    batch_size: int = 0
    mask_rate: float = 0.0

    def check(self) -> None:
        positive(self, "evaluation", "every", "batches")
        require(self.batch_size >= 0, "evaluation.batch_size", "0 or more", self.batch_size)
        require(0 <= self.mask_rate <= 0.9, "evaluation.mask_rate", "a number from 0 to 0.9", self.mask_rate)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """What stays of a run on the way.

    Attributes:
        every: steps between two checkpoints. keep: how many of the last ones stay.
        keep_best: whether the one that scored best in evaluation stays too: of those at steps that were evaluated, so
            `every` of one should be a multiple of that of the other.
    """

    every: int = 1000
    keep: int = 2
    keep_best: bool = True

    def check(self) -> None:
        positive(self, "checkpoint", "every", "keep")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoggingSettings:
    """Attributes: every: steps that a record of `metrics.jsonl` covers. tensorboard: also write TensorBoard scalars."""

    every: int = 100
    tensorboard: bool = True

    def check(self) -> None:
        positive(self, "logging", "every")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistributionSettings:
    """Where the run takes place; see `make_distribution`.

    Attributes:
        strategy: one of `STRATEGIES`. tpu: name or address of a TPU. worker_timeout: seconds to wait for workers.
        cpu_devices: cut the CPU into so many logical devices (to try `mirrored` without GPUs).
    """

    strategy: str = "one_device"
    tpu: str = ""
    worker_timeout: float = 300.0
    cpu_devices: int = 1

    def check(self) -> None:
        one_of("distribution.strategy", self.strategy, STRATEGIES)
        positive(self, "distribution", "worker_timeout", "cpu_devices")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A whole run; one attribute a section of the file."""

    model: ModelSettings
    data: DataSettings
    examples: PretrainingSettings
    training: TrainingSettings
    optimizer: OptimizerSettings
    distillation: DistillationSettings
    evaluation: EvaluationSettings
    checkpoint: CheckpointSettings
    logging: LoggingSettings
    distribution: DistributionSettings

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """Check and complete.

        Raises:
            ConfigError: an unknown section or key (the known ones are listed), a missing one, or a wrong value.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        known_keys("the config", values, known)
        sections: dict[str, Any] = {}
        for name in known:
            content = values.get(name, {})
            if not isinstance(content, Mapping):
                raise ConfigError(f"{name}: expected a section [{name}], got {content!r}")
            sections[name] = _section(name, _SECTIONS[name], content)
        training, optimizer = sections["training"], sections["optimizer"]
        model, distillation = sections["model"], sections["distillation"]
        from_layers = distillation.layers > 0
        require(bool(model.preset or model.init or from_layers), "model", "a preset, or init", "neither")
        require(not (model.init and from_layers), "model.init", "nothing beside distillation.layers", model.init)
        if model.init or from_layers:
            for key in ("positions", "tokens"):
                start = getattr(model, key)
                require(start == "random", f"model.{key}", "random where a checkpoint brings them", start)
        if distillation.wanted:
            objective = sections["examples"].objective
            require(objective == "mlm", "examples.objective", "mlm with a teacher", objective)
        require(
            optimizer.warmup_steps <= training.steps,
            "optimizer.warmup_steps",
            f"at most training.steps={training.steps}",
            optimizer.warmup_steps,
        )
        return cls(**sections)

    def to_dict(self) -> dict[str, Any]:
        """Sections of plain values, for JSON."""
        return dataclasses.asdict(self)


_SECTIONS: dict[str, type] = {
    "examples": PretrainingSettings,
    "model": ModelSettings,
    "data": DataSettings,
    "training": TrainingSettings,
    "optimizer": OptimizerSettings,
    "distillation": DistillationSettings,
    "evaluation": EvaluationSettings,
    "checkpoint": CheckpointSettings,
    "logging": LoggingSettings,
    "distribution": DistributionSettings,
}


def _section(name: str, cls: type, values: Mapping[str, Any]) -> Any:
    fields = {field.name: field for field in dataclasses.fields(cls)}
    known_keys(f"[{name}]", values, fields)
    for key, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        require(key in values or not required, f"{name}.{key}", "a value", "nothing")
    checked = {key: typed(f"{name}.{key}", value, str(fields[key].type)) for key, value in values.items()}
    settings = cls(**checked)
    if cls is not PretrainingSettings:  # which checks itself
        settings.check()
    return settings
