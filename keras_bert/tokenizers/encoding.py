"""One text, or pair of texts, as token ids; and the rules by which it is cut to a length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import TokenizerError

Truncation = Literal["longest_first", "only_first", "only_second"]


@dataclass(frozen=True)
class Encoding:
    """A tokenised text or pair. All lists have one entry a token, special tokens included.

    Attributes:
        token_ids: ids in the vocabulary.
        segment_ids: 0 for the first text, 1 for the second where the tokenizer tells them apart (RoBERTa's does not).
        tokens: the vocabulary entries, as written in the vocabulary (`##ing`, `Ġthe`, `▁the`).
        offsets: (start, end) in Unicode characters of the text that the token came from; (0, 0) for added special
            tokens.
        word_ids: index of the word within its text, None for added special tokens. What a word is, the tokenizer's
            pre-tokenisation decides; several tokens of one word share the index.
        sequence_ids: 0 or 1, the text that the token came from; None for added special tokens.
        special_tokens_mask: 1 for special tokens that were added around the texts. One that the text itself spells
            out (`[MASK]`) belongs to the text and has 0.
        truncated: whether any token was cut to keep to the maximal length.
    """

    token_ids: list[int]
    segment_ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    word_ids: list[int | None]
    sequence_ids: list[int | None]
    special_tokens_mask: list[int]
    truncated: bool

    def __len__(self) -> int:
        """Number of tokens, special tokens included."""
        return len(self.token_ids)


@dataclass(frozen=True)
class TemplatePart:
    """One step of the way that texts are joined: a special token, or a whole text (`sequence` 0 or 1)."""

    segment_id: int
    sequence: int | None = None
    token_id: int = -1
    token: str = ""


def kept_lengths(
    first: int, second: int | None, num_special: int, max_length: int | None, truncation: Truncation
) -> tuple[int, int | None]:
    """How many tokens of each text stay, so that both with their special tokens fit `max_length`.

    `longest_first` takes tokens off the longer text until both are equally long, then evenly, the second text
    keeping the odd token: the rule of Hugging Face `tokenizers`, so that every runner cuts at the same place.

    Args:
        first, second: lengths in tokens, without special tokens; `second` is None for a single text.
        num_special: number of special tokens to be added.

    Raises:
        TokenizerError: no room for the special tokens, or the one text that may be cut is too short for it.
    """
    if truncation not in get_args(Truncation):
        raise TokenizerError(f"truncation must be one of {', '.join(get_args(Truncation))}, got {truncation!r}")
    if max_length is None:
        return first, second
    budget = max_length - num_special
    if budget < 0:
        raise TokenizerError(f"max_length {max_length} leaves no room for the {num_special} special tokens")
    excess = first + (second or 0) - budget
    if excess <= 0:
        return first, second
    if second is None:
        if truncation == "only_second":
            raise TokenizerError("truncation 'only_second' needs a pair of texts, got one text that is too long")
        return budget, None
    if truncation == "only_first":
        return _shortened(first, excess, "first", max_length), second
    if truncation == "only_second":
        return first, _shortened(second, excess, "second", max_length)
    short, long = sorted((first, second))
    long = min(long, max(short, budget - short))
    if short + long > budget:
        short, long = budget // 2, budget - budget // 2
    return (long, short) if first > second else (short, long)


def _shortened(length: int, excess: int, name: str, max_length: int) -> int:
    """`length` less `excess`, at least one token staying."""
    if length <= excess:
        raise TokenizerError(
            f"cannot cut the pair to max_length {max_length}: truncation 'only_{name}' would have to take {excess} "
            f"tokens off the {name} text, which has {length}; use 'longest_first'"
        )
    return length - excess
