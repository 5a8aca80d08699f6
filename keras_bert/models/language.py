"""Models trained on text alone: masked language model, pretraining objectives, sentence vectors."""

from __future__ import annotations

from typing import Any

import keras

from ..errors import ConfigError
from ..layers import ClassificationHead, MaskedLMHead, Pooling
from .encoder import Encoder
from .families import get_family
from .family import Family
from .task import Task, encoder_with_pooler


@keras.saving.register_keras_serializable(package="keras_bert")
class MaskedLanguageModel(Task):
    """Logits `[batch, length, vocab_size]` for every token (BERT paper, section 3.1, task 1)."""

    task = "masked_lm"

    def __init__(self, encoder: Encoder, *, tokenizer: Any = None, name: str | None = None) -> None:
        # === Layers ===
        head = MaskedLMHead(encoder.config, dtype=encoder.embeddings.dtype_policy, name="head")

        # === Functional model ===
        hidden = encoder(encoder.input)["sequence_output"]
        logits = head(hidden, encoder.embeddings.token_table)
        super().__init__(encoder, logits, head=head, tokenizer=tokenizer, name=name)


@keras.saving.register_keras_serializable(package="keras_bert")
class PretrainingModel(Task):
    """The family's pretraining objectives side by side.

    `mlm_logits` `[batch, length, vocab_size]` and, for BERT (next sentence) and ALBERT (sentence order),
    `sentence_logits` `[batch, 2]`: label 1 is a random second text in BERT, swapped texts in ALBERT.
    """

    task = "pretraining"

    def __init__(self, encoder: Encoder, *, tokenizer: Any = None, name: str | None = None) -> None:
        family = get_family(encoder.config.family)
        config = encoder_with_pooler(encoder, self.needs_pooler(family), self.task)
        policy = encoder.embeddings.dtype_policy

        # === Layers ===
        head = MaskedLMHead(config, dtype=policy, name="head")
        sentence_head = None
        if family.sentence_objective:
            sentence_head = ClassificationHead(
                config, 2, dropout=family.sentence_dropout, dtype=policy, name="sentence_head"
            )

        # === Functional model ===
        hidden = encoder(encoder.input)
        outputs = {"mlm_logits": head(hidden["sequence_output"], encoder.embeddings.token_table)}
        if sentence_head is not None:
            outputs["sentence_logits"] = sentence_head(hidden["pooled_output"])
        super().__init__(encoder, outputs, head=head, sentence_head=sentence_head, tokenizer=tokenizer, name=name)

    @classmethod
    def needs_pooler(cls, family: Family) -> bool:
        return family.sentence_objective is not None


@keras.saving.register_keras_serializable(package="keras_bert")
class SentenceEncoder(Task):
    """One vector a text `[batch, hidden_size]` (Sentence-BERT paper, section 3).

    Args:
        encoder: an `Encoder`.
        pooling: `mean` over the tokens that are not padding, or `cls`, the first token.
        normalize: scale each vector to length 1.
    """

    task = "sentence_embedding"

    def __init__(
        self,
        encoder: Encoder,
        *,
        pooling: str = "mean",
        normalize: bool = True,
        tokenizer: Any = None,
        name: str | None = None,
    ) -> None:
        if pooling not in ("mean", "cls"):
            raise ConfigError(f"pooling: expected mean or cls, got {pooling!r}")

        # === Layers ===
        pooling_layer = Pooling(pooling, normalize, dtype=encoder.embeddings.dtype_policy, name="pooling")

        # === Functional model ===
        inputs = encoder.input
        vectors = pooling_layer(encoder(inputs)["sequence_output"], inputs["padding_mask"])
        super().__init__(encoder, vectors, tokenizer=tokenizer, name=name)

        # === Config ===
        self.pooling, self.normalize = pooling, normalize

    def head_config(self) -> dict[str, Any]:
        return {"pooling": self.pooling, "normalize": self.normalize}
