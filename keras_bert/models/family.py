"""What a family (BERT, DistilBERT, RoBERTa, ALBERT) is to the rest of the library: data, no code of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

Names = Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class CheckpointNames:
    """Where a checkpoint format keeps each part: its names -> attribute paths in our models.

    A name that leads to a Dense or LayerNorm stands for its kernel and bias or scale and shift, spelled as the format
    spells them; a name that leads to a variable stands for that tensor. `{i}`, `{g}` and `{j}` are the number of the
    block, of its group, and inside the group. Paths of `encoder` and `blocks` start at the encoder, of `heads` at the
    task model.

    Attributes:
        prefix: what stands before the encoder's names where a head is beside it (`bert.`).
        encoder: tables, norm, projection. pooler: the pooler. block: one block, `block_prefix` before each name.
        heads: task -> names. tied: names of second copies -> the name whose tensor they must repeat.
        ignored: endings of tensors that hold no weight (position buffers, optimizer slots).
    """

    prefix: str
    encoder: Names
    pooler: Names
    block_prefix: str
    block: Names
    heads: Mapping[str, Names]
    tied: Names = dataclasses.field(default_factory=dict)
    ignored: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        name: its name here and in `config.json` (`model_type`).
        config_fields: Hugging Face configuration key -> `EncoderConfig` field.
        config_defaults: `EncoderConfig` fields that its configuration does not name but its code fixes or defaults.
        architectures: task -> class name in `transformers`.
        huggingface: names in Hugging Face checkpoints.
        tf1: names in Google's TF1 checkpoints, where the family has any.
        classifier_activation: of the dense layer before the sequence classifier, None where there is none.
        classifier_input_dropout: dropout before that dense layer too.
        question_dropout: dropout before the question-answering layer.
        sentence_objective: what the pretraining model learns about sentence pairs: `nsp`, `sop` or None.
        sentence_dropout: dropout before the sentence-pair layer.
        tokenizer_class: the class that `transformers` opens its tokenizer with.
    """

    name: str
    config_fields: Mapping[str, str]
    config_defaults: Mapping[str, object]
    architectures: Mapping[str, str]
    huggingface: CheckpointNames
    tf1: CheckpointNames | None = None
    classifier_activation: str | None = None
    classifier_input_dropout: bool = False
    question_dropout: float = 0.0
    sentence_objective: str | None = None
    sentence_dropout: float = 0.0
    tokenizer_class: str = "BertTokenizer"


def architectures(stem: str, *, pretraining: bool = False) -> dict[str, str]:
    """Task -> `transformers` class name for a family whose classes begin with `stem`."""
    names = {
        "encoder": f"{stem}Model",
        "sentence_embedding": f"{stem}Model",
        "masked_lm": f"{stem}ForMaskedLM",
        "sequence_classification": f"{stem}ForSequenceClassification",
        "token_classification": f"{stem}ForTokenClassification",
        "question_answering": f"{stem}ForQuestionAnswering",
    }
    return {**names, "pretraining": f"{stem}ForPreTraining"} if pretraining else {**names}
