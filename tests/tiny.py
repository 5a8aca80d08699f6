"""A WordPiece tokenizer small enough to be written down, encoders that read with it and texts that a word decides."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import keras
from harness import randomize

import keras_bert as kb

WORDS = """a an and bad dull film fine good great it of poor sad the this very was with ##s ! . ,"""
LETTERS = [prefix + chr(c) for prefix in ("", "##") for c in range(ord("a"), ord("z") + 1)]


def tiny_tokenizer(folder: pathlib.Path) -> kb.Tokenizer:
    """A WordPiece tokenizer of a few words and all letters."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*WORDS.split(), *LETTERS])]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return kb.Tokenizer.from_pretrained(folder)


def tiny_encoder(folder: pathlib.Path, **changes: object) -> kb.Encoder:
    """An encoder of one layer of 16 and 48 positions, the same random weights each time, and its tokenizer in `folder`.

    Args:
        changes: other fields of the configuration.
    """
    keras.utils.set_random_seed(1)
    sizes = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 32, "max_positions": 48}
    config = {"vocab_size": tiny_tokenizer(folder).vocab_size, **sizes, **changes}
    return kb.Encoder(kb.EncoderConfig(**config))


def save_tiny_encoder(folder: pathlib.Path, **changes: object) -> pathlib.Path:
    """`tiny_encoder` as a checkpoint with its tokenizer."""
    tiny_encoder(folder, **changes).save_pretrained(folder, tokenizer=kb.Tokenizer.from_pretrained(folder))
    return folder


def save_random(folder: pathlib.Path, make: Callable[[kb.Encoder, kb.Tokenizer], Any]) -> pathlib.Path:
    """What `make` builds upon `tiny_encoder`, a random value in every weight, as a checkpoint."""
    model = make(tiny_encoder(folder), kb.Tokenizer.from_pretrained(folder))
    randomize(model)
    model.save_pretrained(folder)
    return folder


def write_sentiment(path: pathlib.Path) -> pathlib.Path:
    """A labelled TSV that a word decides: 60 rows."""
    good, bad = ("good", "great", "fine"), ("bad", "dull", "poor")
    rows = [
        f"the film was {'very ' * (i % 3)}{word} {'and a ' * (i % 5)}.\t{label}"
        for i in range(60)
        for label, word in [("pos", good[i % 3]) if i % 2 else ("neg", bad[i % 3])]
    ]
    path.write_text("text\tlabel\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path
