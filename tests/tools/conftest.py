"""A tiny BERT checkpoint with a tokenizer, random weights: enough for every job to run in seconds."""

from __future__ import annotations

import pathlib

import pytest
from tiny import save_tiny_encoder, write_sentiment


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Directory of an encoder of one layer: most of a test is building graphs, layer by layer."""
    return save_tiny_encoder(tmp_path_factory.mktemp("checkpoint"), initializer_range=0.2)


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A labelled TSV that a word decides: 60 rows."""
    return write_sentiment(tmp_path_factory.mktemp("data") / "train.tsv")
