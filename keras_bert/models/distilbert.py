"""DistilBERT (Sanh et al. 2019): BERT without segments and pooler, half the layers."""

from __future__ import annotations

from .bert import CLASSIFIER_NAMES, QUESTION_NAMES
from .family import CheckpointNames, Family, architectures

_MASKED_LM = {
    "vocab_transform": "head.dense",
    "vocab_layer_norm": "head.norm",
    "vocab_projector.bias": "head.bias",
}

DISTILBERT = Family(
    name="distilbert",
    config_fields={
        "vocab_size": "vocab_size",
        "dim": "hidden_size",
        "n_layers": "num_layers",
        "n_heads": "num_heads",
        "hidden_dim": "intermediate_size",
        "max_position_embeddings": "max_positions",
        "activation": "activation",
        "dropout": "hidden_dropout",
        "attention_dropout": "attention_dropout",
        "seq_classif_dropout": "classifier_dropout",
        "initializer_range": "initializer_range",
        "sinusoidal_pos_embds": "sinusoidal_positions",
        "pad_token_id": "pad_token_id",
    },
    config_defaults={"num_segments": 0, "pooler": False, "num_layers": 6, "classifier_dropout": 0.2},
    architectures=architectures("DistilBert"),
    huggingface=CheckpointNames(
        prefix="distilbert.",
        encoder={
            "embeddings.word_embeddings.weight": "embeddings.token_table",
            "embeddings.position_embeddings.weight": "embeddings.position_table",
            "embeddings.LayerNorm": "embeddings.norm",
        },
        pooler={},
        block_prefix="transformer.layer.{i}.",
        block={
            "attention.q_lin": "attention.query",
            "attention.k_lin": "attention.key",
            "attention.v_lin": "attention.value",
            "attention.out_lin": "attention.out",
            "sa_layer_norm": "attention_norm",
            "ffn.lin1": "feedforward_in",
            "ffn.lin2": "feedforward_out",
            "output_layer_norm": "output_norm",
        },
        heads={
            "masked_lm": _MASKED_LM,
            "pretraining": _MASKED_LM,
            "sequence_classification": {"pre_classifier": "head.dense", **CLASSIFIER_NAMES},
            "token_classification": CLASSIFIER_NAMES,
            "question_answering": QUESTION_NAMES,
        },
        tied={"vocab_projector.weight": "embeddings.word_embeddings.weight"},
        ignored=("position_ids",),
    ),
    classifier_activation="relu",
    question_dropout=0.1,
    tokenizer_class="DistilBertTokenizer",
)
