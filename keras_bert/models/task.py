"""What all task models share: an encoder, a head, a tokenizer, and the way from and to a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

import keras

from ..config import EncoderConfig
from ..errors import ConfigError
from ..training.adversarial import AdversarialTraining
from .encoder import Encoder
from .families import get_family
from .family import Family
from .inputs import CheckedModel


class Task(AdversarialTraining, CheckedModel):
    """A functional model: encoder plus head.

    Attributes:
        task: the task's name, also in exported files.
        encoder: the `Encoder`. head: the head's layer, or None. sentence_head: that of a second, sentence objective.
        tokenizer: the `Tokenizer` the model was loaded with, or None.
        config: the encoder's `EncoderConfig`.
        new_parts: parts that no checkpoint gave and that must be trained: `head`, `sentence_head`, `encoder.pooler`.
    """

    task: ClassVar[str]

    def __init__(
        self,
        encoder: Encoder,
        outputs: Any,
        *,
        head: Any = None,
        sentence_head: Any = None,
        tokenizer: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(inputs=encoder.input, outputs=outputs, name=name or self.task)
        self.encoder, self.head, self.sentence_head = encoder, head, sentence_head
        self.config = encoder.config
        self.tokenizer = tokenizer
        self.new_parts: tuple[str, ...] = ()

    @classmethod
    def needs_pooler(cls, family: Family) -> bool:
        """Whether this task's published head reads the pooled output in that family."""
        return False

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], **options: Any) -> Any:
        """Read a checkpoint directory (Hugging Face or Google TF1); a head it does not hold starts new.

        Args:
            path: the directory; its tokenizer, where it has one, becomes `model.tokenizer`.
            options: arguments of the class (`labels`, ...), `dtype`, `EncoderConfig` fields to change, or
                `new_head=True` to leave the checkpoint's head unread and start a new one.

        Raises:
            CheckpointError: files or tensors are missing, left over, misshapen or broken; the message names them.
        """
        from ..checkpoints import load_task

        return load_task(cls, path, **options)

    def save_pretrained(self, path: str | os.PathLike[str], *, facts: Mapping[str, Any] | None = None) -> None:
        """Write a Hugging Face checkpoint: config.json, model.safetensors, the tokenizer's files and a model card.

        Args:
            facts: of the run that made the model, for the card; see `checkpoints.card.model_card`. A README.md that
                this library did not write stays as it is.
        """
        from ..checkpoints import save
        from ..checkpoints.card import write_card

        save(self, path, tokenizer=self.tokenizer)
        write_card(path, self, facts)

    def training_defaults(self) -> dict[str, Any]:
        """`loss`, `metrics` and other arguments of `keras.Model.compile` that suit the task, where it has such."""
        return {}

    def compile(
        self,
        optimizer: Any = "auto",
        loss: Any = "auto",
        metrics: Any = "auto",
        jit_compile: bool | str | None = None,
        *,
        adversarial: float = 0.0,
        adversarial_after: int = 0,
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.compile`; `auto` takes AdamW at 2e-5, and the loss and the metrics of the task.

        A loss of one's own brings its own weights: the task's `loss_weights` go with its loss alone.

        Args:
            adversarial: above 0, such a share of their norm embeddings move by; see `AdversarialTraining`.
            adversarial_after: how many steps before they do.
        """
        self.set_adversarial(adversarial, adversarial_after)
        defaults = self.training_defaults()
        if isinstance(optimizer, str) and optimizer == "auto":
            optimizer = keras.optimizers.AdamW(2e-5)
        automatic_metrics, automatic_loss = defaults.pop("metrics", None), defaults.pop("loss", None)
        metrics = automatic_metrics if isinstance(metrics, str) and metrics == "auto" else metrics
        if isinstance(loss, str) and loss == "auto":
            loss, kwargs = automatic_loss, {**defaults, **kwargs}
        super().compile(optimizer, loss, metrics, jit_compile, **kwargs)

    def head_config(self) -> dict[str, Any]:
        """Arguments of the class beside encoder and name, for saving."""
        return {}

    def get_config(self) -> dict[str, Any]:
        encoder = keras.saving.serialize_keras_object(self.encoder)
        return {"encoder": encoder, "name": self.name, **self.head_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})


class LabelledTask(Task):
    """A task whose outputs have names.

    Attributes:
        labels: one name an output, in order.
    """

    def __init__(self, encoder: Encoder, outputs: Any, *, labels: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(encoder, outputs, **kwargs)
        self.labels = labels

    def head_config(self) -> dict[str, Any]:
        return {"labels": list(self.labels)}


def label_names(labels: Any) -> tuple[str, ...]:
    """Names from a list of names, or from how many there are.

    Raises:
        ConfigError: none, or one twice.
    """
    if isinstance(labels, int):
        labels = [f"LABEL_{i}" for i in range(labels)]
    names = tuple(str(label) for label in labels)
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"labels: expected at least one name, each once, got {list(names)}")
    return names


def encoder_with_pooler(encoder: Encoder, expected: bool, task: str) -> EncoderConfig:
    """The encoder's configuration, if it has the pooler that the family's head for this task reads.

    Raises:
        ConfigError: it has none.
    """
    if expected and encoder.pooler is None:
        family = get_family(encoder.config.family).name
        raise ConfigError(f"{task} of the family {family} reads pooled_output: build the encoder with pooler=True")
    return encoder.config
