"""Long texts in overlapping windows, each with the special tokens that the model was trained with."""

from typing import NamedTuple

import numpy as np

from ..errors import EdgeError

OVERLAP = 128

# A question's windows are those of training and of the library, also where the model reads longer ones: other windows
# would be other answers (max_seq_length of google-research/bert, run_squad.py).
LONGEST_WITH_QUESTION = 384


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
    """Cuts encodings without special tokens into windows as long as the model reads, with a question of at most 384.

    What stands before, between and after the texts is read off an example, so that any tokenizer's template works.
    """

    def __init__(self, tokenizer, with_question, path):
        self._max_length = min(tokenizer.max_length, LONGEST_WITH_QUESTION) if with_question else tokenizer.max_length
        example = tokenizer.encode("a", "a") if with_question else tokenizer.encode("a")
        owners = example.sequence_ids
        context = 1 if with_question else 0
        held = [index for index, owner in enumerate(owners) if owner == context]
        asked = [index for index, owner in enumerate(owners) if with_question and owner == 0]
        if not held or (with_question and not asked) or (asked and asked[-1] > held[0]):
            raise EdgeError(f"tokenizer.json in {path} has a template for special tokens that is not known")
        parts = (
            [slice(0, asked[0]), slice(asked[-1] + 1, held[0])] if with_question else [slice(0, 0), slice(0, held[0])]
        )
        parts.append(slice(held[-1] + 1, len(owners)))
        self._special = [(example.ids[part], example.type_ids[part]) for part in parts]
        self._num_special = sum(len(ids) for ids, _ in self._special)
        if self.longest_question() < 1:
            raise EdgeError(f"{path} reads {self._max_length} tokens, of which special tokens leave too few for a text")
        self._question_segment = example.type_ids[asked[0]] if with_question else 0
        self._context_segment = example.type_ids[held[0]]

    def longest_question(self):
        """Tokens of a question that leave at least half of a window to the context."""
        return (self._max_length - self._num_special) // 2

    def windows(self, context_ids, question_ids=()):
        """Windows over `context_ids` in order; neighbours share 128 tokens, or half a window where that is less."""
        (before, before_segments), (middle, middle_segments), (after, after_segments) = self._special
        head = [*before, *question_ids, *middle]
        segments = [*before_segments, *[self._question_segment] * len(question_ids), *middle_segments]
        room = self._max_length - self._num_special - len(question_ids)
        step = room - min(OVERLAP, room // 2)
        start, made = 0, []
        while True:
            end = min(start + room, len(context_ids))
            held_segments = [self._context_segment] * (end - start)
            made.append(
                Window(
                    start,
                    end,
                    len(head),
                    [*head, *context_ids[start:end], *after],
                    [*segments, *held_segments, *after_segments],
                )
            )
            if end == len(context_ids):
                return made
            start += step


def widest_context(windows, num_tokens):
    """Which window sees each token with the most text around it: int [num_tokens].

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
