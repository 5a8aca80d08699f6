"""RoBERTa (Liu et al. 2019): BERT's encoder, byte-level BPE, positions that start at 2, no sentence objective."""

from __future__ import annotations

from .bert import BLOCK_NAMES, CLASSIFIER_NAMES, CONFIG_FIELDS, EMBEDDING_NAMES, QUESTION_NAMES
from .family import CheckpointNames, Family, architectures

_MASKED_LM = {
    "lm_head.dense": "head.dense",
    "lm_head.layer_norm": "head.norm",
    "lm_head.bias": "head.bias",
}

ROBERTA = Family(
    name="roberta",
    config_fields=CONFIG_FIELDS,
    config_defaults={"pad_token_id": 1, "vocab_size": 50265},
    architectures=architectures("Roberta"),
    huggingface=CheckpointNames(
        prefix="roberta.",
        encoder=EMBEDDING_NAMES,
        pooler={"pooler.dense": "pooler"},
        block_prefix="encoder.layer.{i}.",
        block=BLOCK_NAMES,
        heads={
            "masked_lm": _MASKED_LM,
            "pretraining": _MASKED_LM,
            "sequence_classification": {"classifier.dense": "head.dense", "classifier.out_proj": "head.classifier"},
            "token_classification": CLASSIFIER_NAMES,
            "question_answering": QUESTION_NAMES,
        },
        tied={
            "lm_head.decoder.weight": "embeddings.word_embeddings.weight",
            "lm_head.decoder.bias": "lm_head.bias",
        },
        ignored=("position_ids", "token_type_ids"),
    ),
    classifier_activation="tanh",
    classifier_input_dropout=True,
    tokenizer_class="RobertaTokenizer",
)
