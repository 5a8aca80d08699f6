"""One text, or pair of texts, as token ids."""

from __future__ import annotations

from dataclasses import dataclass


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
