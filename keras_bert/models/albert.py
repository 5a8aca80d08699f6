"""ALBERT (Lan et al. 2020): factorised embedding, layers that share weights, sentence-order prediction."""

from __future__ import annotations

from .bert import (
    CLASSIFIER_NAMES,
    CONFIG_FIELDS,
    EMBEDDING_NAMES,
    QUESTION_NAMES,
    TF1_EMBEDDING_NAMES,
    TF1_HEADS,
    TF1_IGNORED,
)
from .family import CheckpointNames, Family, architectures

_MASKED_LM = {
    "predictions.dense": "head.dense",
    "predictions.LayerNorm": "head.norm",
    "predictions.bias": "head.bias",
}

ALBERT = Family(
    name="albert",
    config_fields={
        **{key: field for key, field in CONFIG_FIELDS.items() if key != "classifier_dropout"},
        "classifier_dropout_prob": "classifier_dropout",
        "embedding_size": "embedding_size",
        "num_hidden_groups": "num_layer_groups",
        "inner_group_num": "layers_per_group",
    },
    config_defaults={
        "vocab_size": 30000,
        "hidden_size": 4096,
        "intermediate_size": 16384,
        "num_heads": 64,
        "embedding_size": 128,
        "num_layer_groups": 1,
        "activation": "gelu_tanh",
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
    },
    architectures=architectures("Albert", pretraining=True),
    huggingface=CheckpointNames(
        prefix="albert.",
        encoder={**EMBEDDING_NAMES, "encoder.embedding_hidden_mapping_in": "embeddings.projection"},
        pooler={"pooler": "pooler"},
        block_prefix="encoder.albert_layer_groups.{g}.albert_layers.{j}.",
        block={
            "attention.query": "attention.query",
            "attention.key": "attention.key",
            "attention.value": "attention.value",
            "attention.dense": "attention.out",
            "attention.LayerNorm": "attention_norm",
            "ffn": "feedforward_in",
            "ffn_output": "feedforward_out",
            "full_layer_layer_norm": "output_norm",
        },
        heads={
            "masked_lm": _MASKED_LM,
            "pretraining": {**_MASKED_LM, "sop_classifier.classifier": "sentence_head.classifier"},
            "sequence_classification": CLASSIFIER_NAMES,
            "token_classification": CLASSIFIER_NAMES,
            "question_answering": QUESTION_NAMES,
        },
        tied={
            "predictions.decoder.weight": "embeddings.word_embeddings.weight",
            "predictions.decoder.bias": "predictions.bias",
        },
        ignored=("position_ids",),
    ),
    tf1=CheckpointNames(
        prefix="bert/",
        encoder={**TF1_EMBEDDING_NAMES, "encoder/embedding_hidden_mapping_in": "embeddings.projection"},
        pooler={"pooler/dense": "pooler"},
        block_prefix="encoder/transformer/group_{g}/inner_group_{j}/",
        block={
            "attention_1/self/query": "attention.query",
            "attention_1/self/key": "attention.key",
            "attention_1/self/value": "attention.value",
            "attention_1/output/dense": "attention.out",
            "LayerNorm": "attention_norm",
            "ffn_1/intermediate/dense": "feedforward_in",
            "ffn_1/intermediate/output/dense": "feedforward_out",
            "LayerNorm_1": "output_norm",
        },
        heads=TF1_HEADS,
        ignored=TF1_IGNORED,
    ),
    sentence_objective="sop",
    sentence_dropout=0.1,
    tokenizer_class="AlbertTokenizer",
)
