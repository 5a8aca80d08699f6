"""A WordPiece tokenizer small enough to be written down."""

from __future__ import annotations

import pathlib

import keras_bert as kb

WORDS = """a an and bad dull film fine good great it of poor sad the this very was with ##s ! . ,"""
LETTERS = [prefix + chr(c) for prefix in ("", "##") for c in range(ord("a"), ord("z") + 1)]


def tiny_tokenizer(folder: pathlib.Path) -> kb.Tokenizer:
    """A WordPiece tokenizer of a few words and all letters."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*WORDS.split(), *LETTERS])]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return kb.Tokenizer.from_pretrained(folder)
