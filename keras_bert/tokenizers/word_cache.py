"""Tokenising large amounts of text: each word is tokenised once and remembered.

WordPiece after BERT's pre-tokeniser and byte-level BPE after its regular expression treat the stretches between single
spaces one by one, so the ids of a text are the ids of its words in a row. Words repeat; a dictionary is some ten times
faster than the tokenizer. Other pipelines, and texts with other white space in BPE, go through the tokenizer whole.
"""

from __future__ import annotations

import array
import itertools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .tokenizer import Tokenizer

_SPACED_WORD = re.compile(" ?[^ ]+")
# Characters of remembered words, about 250,000 of them or 40 MB; beyond it all are forgotten and learnt anew.
_CAPACITY = 1 << 21


class WordCache:
    """Bare ids of many texts, as flat arrays; not for use by two threads.

    They are those of `Tokenizer.tokenize_batch`, but that a special token written in a text ("[MASK]") is read as any
    other text: what a corpus says must not become what the model is trained to see as a sign.
    """

    def __init__(self, tokenizer: Tokenizer, dtype: np.dtype, capacity: int = _CAPACITY) -> None:
        """Make a cache for the words of `tokenizer`, of which it takes a copy.

        Args:
            dtype: uint16 or int32, of the ids.
            capacity: characters of words to remember at most.
        """
        self.tokenizer = Tokenizer.from_json(tokenizer.to_json())
        self.tokenizer.read_special_tokens_as_text()
        unknown = {tokenizer.unk_id} if tokenizer.role_token("unk") else set()
        self._signs = set(tokenizer.special_ids) - unknown
        self.dtype, self.capacity = np.dtype(dtype), capacity
        self.split = _splitter(json.loads(tokenizer.to_json()))
        self._ids: dict[str, bytes] = {}
        self._room = capacity

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all texts one after another, `dtype` [tokens]; and how many each text has, int32 [texts]."""
        rows = list(self._encode_words(texts) if self.split else self._as_bytes(texts))
        lengths = np.fromiter(map(len, rows), np.int32, len(rows)) // self.dtype.itemsize
        return np.frombuffer(b"".join(rows), self.dtype), lengths

    def _encode_words(self, texts: Sequence[str]) -> list[bytes]:
        assert self.split is not None
        words = list(map(self.split, texts))
        unknown = list(set(itertools.chain.from_iterable(words)).difference(self._ids))
        self._room -= sum(map(len, unknown))
        self._ids.update(zip(unknown, self._as_bytes(unknown), strict=True))
        ids = self._ids.__getitem__
        rows = [b"".join(map(ids, parts)) for parts in words]
        if self._room < 0:
            self._ids, self._room = {}, self.capacity
        return rows

    def _as_bytes(self, texts: Sequence[str]) -> list[bytes]:
        kind = {2: "H", 4: "i"}[self.dtype.itemsize]
        rows = self.tokenizer.tokenize_batch(texts)
        # A Unigram model knows its special tokens as pieces too, and finds them in text that spells them.
        rows = [row if self._signs.isdisjoint(row) else [i for i in row if i not in self._signs] for row in rows]
        return [array.array(kind, row).tobytes() for row in rows]


def _splitter(content: dict[str, Any]) -> Callable[[str], list[str]] | None:
    """What cuts a text into pieces that this `tokenizer.json` treats one by one; None where nothing does."""
    model, before = content["model"]["type"], content["pre_tokenizer"] or {}
    normalizer = (content["normalizer"] or {}).get("type")
    added = content["added_tokens"]
    if any(len(token["content"].split()) != 1 for token in added):
        return None
    if model == "WordPiece" and before.get("type") == "BertPreTokenizer" and normalizer in (None, "BertNormalizer"):
        return _split_at_spaces
    if model == "BPE" and before.get("type") == "ByteLevel" and before.get("use_regex", True) and normalizer is None:
        # A token that takes the space after it into itself reaches across words.
        return None if any(token["rstrip"] for token in added) else _split_before_spaces
    return None


def _split_at_spaces(text: str) -> list[str]:
    return text.split(" ")


def _split_before_spaces(text: str) -> list[str]:
    """Words with the space before them, or the whole text if white space stands in it otherwise."""
    words = _SPACED_WORD.findall(text)
    return words if words and " ".join(text.split()) == text[text.startswith(" ") :] else [text]
