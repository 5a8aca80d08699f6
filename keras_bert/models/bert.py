"""BERT (Devlin et al. 2019): segments, pooler, masked language model and next-sentence prediction."""

from __future__ import annotations

from .family import CheckpointNames, Family, architectures

CONFIG_FIELDS = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "intermediate_size": "intermediate_size",
    "max_position_embeddings": "max_positions",
    "type_vocab_size": "num_segments",
    "hidden_act": "activation",
    "layer_norm_eps": "layer_norm_epsilon",
    "hidden_dropout_prob": "hidden_dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "classifier_dropout": "classifier_dropout",
    "initializer_range": "initializer_range",
    "pad_token_id": "pad_token_id",
}

EMBEDDING_NAMES = {
    "embeddings.word_embeddings.weight": "embeddings.token_table",
    "embeddings.position_embeddings.weight": "embeddings.position_table",
    "embeddings.token_type_embeddings.weight": "embeddings.segment_table",
    "embeddings.LayerNorm": "embeddings.norm",
}

BLOCK_NAMES = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "feedforward_in",
    "output.dense": "feedforward_out",
    "output.LayerNorm": "output_norm",
}

CLASSIFIER_NAMES = {"classifier": "head.classifier"}
QUESTION_NAMES = {"qa_outputs": "head.classifier"}

_MASKED_LM = {
    "cls.predictions.transform.dense": "head.dense",
    "cls.predictions.transform.LayerNorm": "head.norm",
    "cls.predictions.bias": "head.bias",
}

_TF1_MASKED_LM = {
    "cls/predictions/transform/dense": "head.dense",
    "cls/predictions/transform/LayerNorm": "head.norm",
    "cls/predictions/output_bias": "head.bias",
}

_TF1_SENTENCE = {
    "cls/seq_relationship/output_weights": "sentence_head.classifier.kernel.T",
    "cls/seq_relationship/output_bias": "sentence_head.classifier.bias",
}

_TF1_CLASSIFIER = {"output_weights": "head.classifier.kernel.T", "output_bias": "head.classifier.bias"}

TF1_EMBEDDING_NAMES = {
    "embeddings/word_embeddings": "embeddings.token_table",
    "embeddings/position_embeddings": "embeddings.position_table",
    "embeddings/token_type_embeddings": "embeddings.segment_table",
    "embeddings/LayerNorm": "embeddings.norm",
}

_TF1_QUESTION = {
    "cls/squad/output_weights": "head.classifier.kernel.T",
    "cls/squad/output_bias": "head.classifier.bias",
}

TF1_HEADS = {
    "masked_lm": _TF1_MASKED_LM,
    "pretraining": {**_TF1_MASKED_LM, **_TF1_SENTENCE},
    "sequence_classification": _TF1_CLASSIFIER,
    "question_answering": _TF1_QUESTION,
}

TF1_IGNORED = ("adam_m", "adam_v", "lamb_m", "lamb_v", "global_step")

BERT = Family(
    name="bert",
    config_fields=CONFIG_FIELDS,
    config_defaults={},
    architectures=architectures("Bert", pretraining=True),
    huggingface=CheckpointNames(
        prefix="bert.",
        encoder=EMBEDDING_NAMES,
        pooler={"pooler.dense": "pooler"},
        block_prefix="encoder.layer.{i}.",
        block=BLOCK_NAMES,
        heads={
            "masked_lm": _MASKED_LM,
            "pretraining": {**_MASKED_LM, "cls.seq_relationship": "sentence_head.classifier"},
            "sequence_classification": CLASSIFIER_NAMES,
            "token_classification": CLASSIFIER_NAMES,
            "question_answering": QUESTION_NAMES,
        },
        tied={
            "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        },
        ignored=("position_ids",),
    ),
    tf1=CheckpointNames(
        prefix="bert/",
        encoder=TF1_EMBEDDING_NAMES,
        pooler={"pooler/dense": "pooler"},
        block_prefix="encoder/layer_{i}/",
        block={name.replace(".", "/"): path for name, path in BLOCK_NAMES.items()},
        heads=TF1_HEADS,
        ignored=TF1_IGNORED,
    ),
    sentence_objective="nsp",
)
