"""Heads that name things: whole texts or pairs, single tokens, and spans that answer a question."""

from __future__ import annotations

from typing import Any

import keras

from ..config import IGNORED_TARGET
from ..errors import ConfigError
from ..layers import ClassificationHead
from .encoder import Encoder
from .families import get_family
from .family import Family
from .task import LabelledTask, Task, encoder_with_pooler, label_names

PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")


@keras.saving.register_keras_serializable(package="keras_bert")
class SequenceClassifier(LabelledTask):
    """Logits `[batch, num_labels]` for one text or a pair; also several labels at once, and regression.

    BERT and ALBERT classify the pooled output; DistilBERT and RoBERTa the first token through a dense layer of the
    head's own (each family's published head).

    Args:
        encoder: an `Encoder`; BERT and ALBERT need its pooler.
        labels: their names, or how many.
        problem_type: one of `PROBLEM_TYPES`.
        tokenizer: kept with the model and saved with it.
    """

    task = "sequence_classification"

    def __init__(
        self,
        encoder: Encoder,
        labels: Any = 2,
        *,
        problem_type: str = "single_label_classification",
        tokenizer: Any = None,
        name: str | None = None,
    ) -> None:
        if problem_type not in PROBLEM_TYPES:
            raise ConfigError(f"problem_type: expected one of {', '.join(PROBLEM_TYPES)}, got {problem_type!r}")
        labels = label_names(labels)
        family = get_family(encoder.config.family)
        config = encoder_with_pooler(encoder, self.needs_pooler(family), self.task)

        # === Layers ===
        head = ClassificationHead(
            config,
            len(labels),
            dropout=config.classifier_dropout,
            hidden_activation=family.classifier_activation,
            input_dropout=family.classifier_input_dropout,
            dtype=encoder.embeddings.dtype_policy,
            name="head",
        )

        # === Functional model ===
        outputs = head(encoder.text_vector(pooled=self.needs_pooler(family)))
        super().__init__(encoder, outputs, head=head, labels=labels, tokenizer=tokenizer, name=name)

        # === Config ===
        self.problem_type = problem_type

    @classmethod
    def needs_pooler(cls, family: Family) -> bool:
        return family.classifier_activation is None

    def training_defaults(self) -> dict[str, Any]:
        loss, metric = {
            "single_label_classification": (
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                lambda: keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            ),
            "multi_label_classification": (
                keras.losses.BinaryCrossentropy(from_logits=True),
                lambda: keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0),
            ),
            "regression": (keras.losses.MeanSquaredError(), lambda: keras.metrics.MeanSquaredError(name="mse")),
        }[self.problem_type]
        return {"loss": loss, "metrics": [metric()]}

    def head_config(self) -> dict[str, Any]:
        return {**super().head_config(), "problem_type": self.problem_type}


@keras.saving.register_keras_serializable(package="keras_bert")
class TokenAccuracy(keras.metrics.SparseCategoricalAccuracy):
    """Share of the tokens with a target whose highest logit is the target's; `IGNORED_TARGET` is none."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        weight = keras.ops.cast(keras.ops.not_equal(y_true, IGNORED_TARGET), "float32")
        if sample_weight is not None:
            sample_weight = keras.ops.cast(sample_weight, "float32")
            weight *= sample_weight if len(sample_weight.shape) == 2 else keras.ops.expand_dims(sample_weight, -1)
        super().update_state(y_true, y_pred, sample_weight=weight)


@keras.saving.register_keras_serializable(package="keras_bert")
class TokenClassifier(LabelledTask):
    """Logits `[batch, length, num_labels]`, one row a token (named entities, parts of speech).

    Args:
        encoder: an `Encoder`.
        labels: their names, or how many; for entities IOB2 tags such as `O`, `B-PER`, `I-PER`.
        tokenizer: kept with the model and saved with it.
    """

    task = "token_classification"

    def __init__(self, encoder: Encoder, labels: Any = 2, *, tokenizer: Any = None, name: str | None = None) -> None:
        labels = label_names(labels)
        config = encoder.config
        # DistilBERT's token head takes the encoder's rate; its `seq_classif_dropout` is for sequences alone.
        rate = config.hidden_dropout if config.family == "distilbert" else config.classifier_dropout

        # === Layers ===
        head = ClassificationHead(config, len(labels), dropout=rate, dtype=encoder.embeddings.dtype_policy, name="head")

        # === Functional model ===
        outputs = head(encoder(encoder.input)["sequence_output"])
        super().__init__(encoder, outputs, head=head, labels=labels, tokenizer=tokenizer, name=name)

    def training_defaults(self) -> dict[str, Any]:
        """The mean over the tokens that have a target; the others are marked by `IGNORED_TARGET`."""
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORED_TARGET)
        return {"loss": loss, "metrics": [TokenAccuracy(name="accuracy")]}


@keras.saving.register_keras_serializable(package="keras_bert")
class QuestionAnswerer(Task):
    """`start_logits` and `end_logits` `[batch, length]`: where in the second text the answer begins and ends
    (BERT paper, section 4.2)."""

    task = "question_answering"

    def __init__(self, encoder: Encoder, *, tokenizer: Any = None, name: str | None = None) -> None:
        family = get_family(encoder.config.family)

        # === Layers ===
        head = ClassificationHead(
            encoder.config, 2, dropout=family.question_dropout, dtype=encoder.embeddings.dtype_policy, name="head"
        )

        # === Functional model ===
        logits = head(encoder(encoder.input)["sequence_output"])
        outputs = {"start_logits": logits[:, :, 0], "end_logits": logits[:, :, 1]}
        super().__init__(encoder, outputs, head=head, tokenizer=tokenizer, name=name)

    def training_defaults(self) -> dict[str, Any]:
        """The mean of the losses of the two ends (google-research/bert, run_squad.py)."""
        names = ("start_logits", "end_logits")
        return {
            "loss": {name: keras.losses.SparseCategoricalCrossentropy(from_logits=True) for name in names},
            "loss_weights": dict.fromkeys(names, 0.5),
            "metrics": {name: [keras.metrics.SparseCategoricalAccuracy(name="accuracy")] for name in names},
        }
