"""Write the golden checkpoints of this folder: tiny random models of `transformers` with the outputs it computes.

The tests compare keras_bert with these files, so they never need PyTorch themselves. Each folder MODEL/HEAD holds
config.json and model.safetensors as `save_pretrained` writes them, and golden.npz:

    input_ids, attention_mask, token_type_ids   int64 [batch, length]
    hidden_states                               float32 [executed layers + 1, batch, length, hidden]: the embeddings
                                                first (ALBERT's projected), then every layer run, inner ones too
    pooler_output                               float32 [batch, hidden], where the model has a pooler
    logits, start_logits, end_logits, prediction_logits, seq_relationship_logits, sop_logits
                                                float32, those that the head has

Values are defined where attention_mask is 1. Biases and LayerNorm weights are random, so that a tensor loaded into
the wrong place shows. The files are a function of the seed and of the versions named in README.md.

Example:
    python -m venv /tmp/reference && /tmp/reference/bin/pip install torch transformers
    /tmp/reference/bin/python tests/goldens/make.py tests/goldens
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

BATCH_LENGTHS = (13, 8, 3)
FIRST_ORDINARY_TOKEN = 5

SIZES = {"vocab_size": 48, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
POSITIONS = {"max_position_embeddings": 24, "initializer_range": 0.25}
DISTILBERT_SIZES = {"vocab_size": 48, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, **POSITIONS}
ALBERT_SIZES = {**SIZES, **POSITIONS, "embedding_size": 8, "hidden_act": "gelu_new"}
LABELS = {
    "ForSequenceClassification": ["negative", "neutral", "positive"],
    "ForTokenClassification": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
}

MODELS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "bert": (
        "Bert",
        {**SIZES, **POSITIONS, "type_vocab_size": 2},
        [
            "Model",
            "ForPreTraining",
            "ForMaskedLM",
            "ForSequenceClassification",
            "ForTokenClassification",
            "ForQuestionAnswering",
        ],
    ),
    "bert-relu": (
        "Bert",
        {**SIZES, **POSITIONS, "type_vocab_size": 2, "hidden_act": "relu", "layer_norm_eps": 1e-5},
        ["ForMaskedLM"],
    ),
    "distilbert": (
        "DistilBert",
        DISTILBERT_SIZES,
        ["ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"],
    ),
    "distilbert-sinusoidal": ("DistilBert", {**DISTILBERT_SIZES, "sinusoidal_pos_embds": True}, ["ForMaskedLM"]),
    "roberta": (
        "Roberta",
        {
            **SIZES,
            **POSITIONS,
            "max_position_embeddings": 26,
            "type_vocab_size": 1,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "layer_norm_eps": 1e-5,
        },
        ["Model", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"],
    ),
    "albert": ("Albert", {**ALBERT_SIZES, "type_vocab_size": 2}, ["ForPreTraining", "ForSequenceClassification"]),
    "albert-groups": (
        "Albert",
        {**ALBERT_SIZES, "type_vocab_size": 2, "num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2},
        [
            "ForPreTraining",
            "ForMaskedLM",
            "ForSequenceClassification",
            "ForTokenClassification",
            "ForQuestionAnswering",
        ],
    ),
}


def make_inputs(generator: np.random.Generator, vocab_size: int, pad_token_id: int) -> dict[str, np.ndarray]:
    """Draw a right-padded batch: int64 [3, 13] ids, mask and two segments a row (the second from the middle on)."""
    shape = (len(BATCH_LENGTHS), max(BATCH_LENGTHS))
    ids = generator.integers(FIRST_ORDINARY_TOKEN, vocab_size, shape)
    mask, segments = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, length in enumerate(BATCH_LENGTHS):
        mask[row, :length] = 1
        ids[row, length:] = pad_token_id
        segments[row, length // 2 : length] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}


def make_checkpoint(directory: Path, family: str, settings: dict[str, Any], head: str, seed: int) -> int:
    """Write one checkpoint with its golden outputs into `directory`; return its number of parameters."""
    settings = dict(settings)
    if head in LABELS:
        settings["id2label"] = dict(enumerate(LABELS[head]))
        settings["label2id"] = {label: index for index, label in enumerate(LABELS[head])}
    config = getattr(transformers, f"{family}Config")(**settings)
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model = getattr(transformers, f"{family}{head}")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(directory)

    inputs = make_inputs(np.random.default_rng(seed), config.vocab_size, config.pad_token_id)
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    if getattr(config, "type_vocab_size", 0) < 2:
        del tensors["token_type_ids"]
    with torch.no_grad():
        encoded = model.base_model(**tensors, output_hidden_states=True)
        outputs = model(**tensors)
    golden = {"hidden_states": torch.stack(encoded.hidden_states)}
    if encoded.get("pooler_output") is not None:
        golden["pooler_output"] = encoded.pooler_output
    golden.update({name: value for name, value in outputs.items() if name.endswith("logits")})
    arrays = {name: value.numpy().astype(np.float32) for name, value in golden.items()}
    np.savez_compressed(directory / "golden.npz", **inputs, **arrays)
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> None:
    """Write every model and head below the folder given on the command line."""
    parser = argparse.ArgumentParser(description="Write the golden checkpoints.")
    parser.add_argument("directory", type=Path, help="folder to write MODEL/HEAD folders into")
    parser.add_argument("--seed", type=int, default=20, help="seed of the weights and inputs (default 20)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, seed {arguments.seed}")
    seed = arguments.seed
    for name, (family, settings, heads) in MODELS.items():
        for head in heads:
            directory = arguments.directory / name / f"{family}{head}"
            parameters = make_checkpoint(directory, family, settings, head, seed)
            print(f"{name}/{family}{head}: {parameters:,} parameters")
            seed += 1


if __name__ == "__main__":
    main()
