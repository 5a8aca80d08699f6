"""What masking must know of each id of the vocabulary."""

from __future__ import annotations

import dataclasses

import numpy as np

from ...errors import DataError
from ...tokenizers import Tokenizer

# How the byte-level alphabet writes the space, newline, tab and carriage return before a word; SentencePiece has one.
_BYTE_LEVEL_SPACES = ("Ġ", "Ċ", "ĉ", "č")
_SENTENCEPIECE_SPACE = "▁"


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Tables by token id, and the ids of the roles.

    Attributes:
        starts_word: bool [vocab_size], whether a token begins a word where it stands: in WordPiece all but `##x`, in
            byte-level BPE and Unigram those with the mark of a space before them. The first token of a sentence and
            the first after a special token begin one in any case.
        is_special: bool [vocab_size], tokens that are never masked.
        ordinary_ids: int32, ids of all other tokens: what a masked token may be replaced with.
        segments: whether the family's models take segment ids.
    """

    starts_word: np.ndarray
    is_special: np.ndarray
    ordinary_ids: np.ndarray
    cls_id: int
    sep_id: int
    pad_id: int
    mask_id: int
    segments: bool


def read_vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    """The tables of a tokenizer.

    Raises:
        TokenizerError: it has no mask token.
        DataError: every token of it is special.
    """
    size = tokenizer.vocab_size
    starts_word = np.ones(size, bool)
    for token, token_id in tokenizer.vocab.items():
        if tokenizer.kind == "wordpiece":
            starts_word[token_id] = not token.startswith("##")
        elif tokenizer.kind == "bpe":
            starts_word[token_id] = token.startswith(_BYTE_LEVEL_SPACES)
        else:
            starts_word[token_id] = token.startswith(_SENTENCEPIECE_SPACE)
    is_special = np.zeros(size, bool)
    is_special[list(tokenizer.special_ids)] = True
    used = np.zeros(size, bool)
    used[list(tokenizer.vocab.values())] = True
    ordinary = np.flatnonzero(used & ~is_special).astype("int32")
    if not len(ordinary):
        raise DataError("the tokenizer's vocabulary holds special tokens only")
    return Vocabulary(
        starts_word=starts_word | is_special,
        is_special=is_special,
        ordinary_ids=ordinary,
        cls_id=tokenizer.cls_id,
        sep_id=tokenizer.sep_id,
        pad_id=tokenizer.pad_id,
        mask_id=tokenizer.mask_id,
        segments=tokenizer.family in ("bert", "albert"),
    )
