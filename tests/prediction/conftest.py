"""Tiny models whose answers are known: the encoder is random, the head is what the test wants."""

from __future__ import annotations

import pathlib

import keras
import pytest

import keras_bert as kb

TOKENIZERS = pathlib.Path(__file__).parents[1] / "tokenizers" / "data"
KINDS = {"bert": "wordpiece-uncased", "distilbert": "wordpiece-cased", "roberta": "bpe", "albert": "unigram"}


def tiny(task: type, family: str, *arguments: object, **changes: object):
    """A task model of 2 layers with wide weights, so that outputs differ from token to token."""
    keras.utils.set_random_seed(4)
    tokenizer = kb.Tokenizer.from_pretrained(TOKENIZERS / KINDS[family])
    preset = {
        "bert": "bert_base_uncased",
        "distilbert": "distilbert_base_uncased",
        "roberta": "roberta_base",
        "albert": "albert_base_v2",
    }[family]
    sizes = {
        "vocab_size": tokenizer.vocab_size,
        "pad_token_id": tokenizer.pad_id,
        "hidden_size": 24,
        "num_layers": 2,
        "num_heads": 2,
        "intermediate_size": 32,
        "max_positions": 40,
        "embedding_size": 8 if family == "albert" else None,
        "initializer_range": 0.4,
        "pooler": False,
    }
    config = kb.PRESETS[preset].replace(**{**sizes, **changes})
    return task(kb.Encoder(config), *arguments, tokenizer=tokenizer)


@pytest.fixture(scope="session")
def make_tiny():
    return tiny
