"""A tiny BERT checkpoint with a tokenizer, random weights: enough for every job to run in seconds."""

from __future__ import annotations

import pathlib

import keras
import pytest
from tiny import tiny_tokenizer

import keras_bert as kb


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Directory of an encoder, a layer of 16, 48 positions: most of a test's time is building graphs, layer by layer."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = tiny_tokenizer(folder)
    keras.utils.set_random_seed(1)
    config = kb.EncoderConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        intermediate_size=32,
        max_positions=48,
        initializer_range=0.2,
    )
    kb.Encoder(config).save_pretrained(folder, tokenizer=tokenizer)
    return folder


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A labelled TSV that a word decides: 60 rows."""
    good, bad = ("good", "great", "fine"), ("bad", "dull", "poor")
    rows = [
        f"the film was {'very ' * (i % 3)}{word} {'and a ' * (i % 5)}.\t{label}"
        for i in range(60)
        for label, word in [("pos", good[i % 3]) if i % 2 else ("neg", bad[i % 3])]
    ]
    path = tmp_path_factory.mktemp("data") / "train.tsv"
    path.write_text("text\tlabel\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path
