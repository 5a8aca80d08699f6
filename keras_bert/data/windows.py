"""Long texts in overlapping windows, each with the special tokens that the model was trained with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import KerasBertError
from ..tokenizers import Tokenizer

OVERLAP = 128

_CHUNK = 512


class BareText(NamedTuple):
    """A text as tokens without special tokens around; see `tokenizers.Encoding`."""

    token_ids: list[int]
    offsets: list[tuple[int, int]]
    word_ids: list[int | None]


def bare_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[BareText]:
    """Tokenise texts of any length, uncut, chunk by chunk."""
    for start in range(0, len(texts), _CHUNK):
        for encoding in tokenizer.encode_batch(texts[start : start + _CHUNK]):
            held = [index for index, special in enumerate(encoding.special_tokens_mask) if not special]
            part = slice(held[0], held[-1] + 1) if held else slice(0, 0)
            yield BareText(encoding.token_ids[part], encoding.offsets[part], encoding.word_ids[part])


class Window(NamedTuple):
    """One input of the model.

    Attributes:
        start, end: which tokens of the long text it holds.
        first_row: row of the model's outputs that belongs to token `start`.
        token_ids, segment_ids: the whole input.
    """

    start: int
    end: int
    first_row: int
    token_ids: list[int]
    segment_ids: list[int]


class WindowMaker:
    """Cuts a text (without special tokens) into windows of at most `max_length` tokens.

    What stands before, between and after the texts is read off an example, so that any tokenizer's template works.

    Args:
        with_question: whether a question stands before the text in each window.
        overlap: tokens that neighbouring windows share, or half a window where that is less.

    Raises:
        KerasBertError: `max_length` leaves no room for a text, or the tokenizer joins texts in another order.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, max_length: int, with_question: bool = False, overlap: int = OVERLAP
    ) -> None:
        if overlap < 0:
            raise KerasBertError(f"overlap must not be negative, got {overlap}")
        self._max_length, self._overlap = max_length, overlap
        example = tokenizer.encode("a", "a") if with_question else tokenizer.encode("a")
        owners = example.sequence_ids
        held = [index for index, owner in enumerate(owners) if owner == int(with_question)]
        asked = [index for index, owner in enumerate(owners) if with_question and owner == 0]
        if not held or (with_question and not asked) or (asked and asked[-1] > held[0]):
            raise KerasBertError("the tokenizer does not put the question before the text")
        before = slice(0, asked[0] if asked else held[0])
        middle = slice(asked[-1] + 1 if asked else held[0], held[0])
        parts = (before, middle, slice(held[-1] + 1, len(owners)))
        self._special = [(example.token_ids[part], example.segment_ids[part]) for part in parts]
        self._num_special = sum(len(ids) for ids, _ in self._special)
        self._question_segment = example.segment_ids[asked[0]] if asked else 0
        self._text_segment = example.segment_ids[held[0]]
        if self.longest_question < 1:
            raise KerasBertError(
                f"max_length {max_length} leaves no room beside the {self._num_special} special tokens of a window"
            )

    @property
    def longest_question(self) -> int:
        """Tokens of a question that leave at least half of a window to the text; a longer one is cut."""
        return (self._max_length - self._num_special) // 2

    def windows(self, token_ids: Sequence[int], question_ids: Sequence[int] = ()) -> list[Window]:
        """Windows over `token_ids` in order, at least one."""
        question_ids = list(question_ids[: self.longest_question])
        (before, before_segments), (middle, middle_segments), (after, after_segments) = self._special
        head = [*before, *question_ids, *middle]
        segments = [*before_segments, *[self._question_segment] * len(question_ids), *middle_segments]
        room = self._max_length - self._num_special - len(question_ids)
        step = room - min(self._overlap, room // 2)
        made: list[Window] = []
        start = end = 0
        while not made or end < len(token_ids):
            start = len(made) * step
            end = min(start + room, len(token_ids))
            held_segments = [self._text_segment] * (end - start)
            made.append(
                Window(
                    start,
                    end,
                    len(head),
                    [*head, *token_ids[start:end], *after],
                    [*segments, *held_segments, *after_segments],
                )
            )
        return made


def widest_context(windows: Sequence[Window], num_tokens: int) -> np.ndarray:
    """Which window sees each token with the most text around it: int64 [num_tokens].

    The score is the lesser of the tokens to its left and right, plus 0.01 a token of the window; the first window wins
    a tie (`_check_is_max_context` of google-research/bert, run_squad.py).
    """
    if len(windows) == 1:
        return np.zeros(num_tokens, np.int64)
    best = np.full(num_tokens, -1.0)
    owner = np.zeros(num_tokens, np.int64)
    for index, window in enumerate(windows):
        tokens = np.arange(window.start, window.end)
        score = np.minimum(tokens - window.start, window.end - 1 - tokens) + 0.01 * (window.end - window.start)
        better = tokens[score > best[tokens]]
        best[better] = score[better - window.start]
        owner[better] = index
    return owner
