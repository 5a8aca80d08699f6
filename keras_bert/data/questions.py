"""Extractive question answering data: questions and contexts to windows, and where in each the answer is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..config import EncoderConfig
from ..tokenizers import Tokenizer
from .batches import TokenizedTexts, batched_dataset, laid_end_to_end
from .classification import inputs_of
from .squad import Question, Questions, read_questions
from .text_file import warn_of
from .windows import OVERLAP, BareText, Window, WindowMaker, bare_texts

MAX_LENGTH = 384


class AskedContext(NamedTuple):
    """A context with its question, in windows.

    Attributes:
        windows: the inputs of the model.
        context: the context's tokens.
        question_truncated: whether the question was cut to leave half of a window to the context.
    """

    windows: list[Window]
    context: BareText
    question_truncated: bool


def asked_contexts(
    tokenizer: Tokenizer,
    questions: Sequence[str],
    contexts: Sequence[str],
    *,
    max_length: int = MAX_LENGTH,
    overlap: int = OVERLAP,
) -> Iterator[AskedContext]:
    """Questions and contexts, equally many, as windows. A context many questions in a row are asked of is read once.

    Args:
        max_length: longest window in tokens. overlap: tokens of context that neighbouring windows share.
    """
    maker = WindowMaker(tokenizer, max_length=max_length, with_question=True, overlap=overlap)
    starts = [i for i, context in enumerate(contexts) if not i or context != contexts[i - 1]]
    distinct = bare_texts(tokenizer, [contexts[i] for i in starts])
    is_start = set(starts)
    context = BareText([], [], [])
    for index, question in enumerate(bare_texts(tokenizer, questions)):
        if index in is_start:
            context = next(distinct)
        windows = maker.windows(context.token_ids, question.token_ids)
        yield AskedContext(windows, context, len(question.token_ids) > maker.longest_question)


def answer_tokens(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int] | None:
    """First and last token that hold a character of `[start, end)`, None if none does.

    Args:
        offsets: (start, end) of the tokens in characters.
    """
    inside = [token for token, (first, last) in enumerate(offsets) if first < end and last > start]
    return (inside[0], inside[-1]) if inside else None


class QuestionExamples(NamedTuple):
    """Windows as model inputs, int32 [windows] targets by the name of the model's output, and the questions left out
    because no place of an answer is known."""

    texts: TokenizedTexts
    targets: dict[str, np.ndarray]
    left_out: list[Question]


def question_examples(questions: Sequence[Question], asked: Iterator[AskedContext]) -> QuestionExamples:
    """Training examples, one a window: the rows where the answer begins and ends.

    The first answer with a known place is the target. A window that does not hold the whole of it, and every window of
    a question without answers, has row 0, the classification token, for both (BERT paper, section 4.3).
    """
    starts: list[int] = []
    ends: list[int] = []
    left_out: list[Question] = []

    def rows() -> Iterator[tuple[list[int], list[int]]]:
        for question, (windows, context, _) in zip(questions, asked, strict=True):
            span = None
            places = [(a.start, a.start + len(a.text)) for a in question.answers if a.start is not None]
            if places:
                span = answer_tokens(context.offsets, *places[0])
            if question.answers and span is None:
                left_out.append(question)
                continue
            for window in windows:
                held = span is not None and window.start <= span[0] and span[1] < window.end
                shift = window.first_row - window.start
                starts.append(span[0] + shift if span and held else 0)
                ends.append(span[1] + shift if span and held else 0)
                yield window.token_ids, window.segment_ids

    texts = laid_end_to_end(rows())
    targets = {"start_logits": np.array(starts, "int32"), "end_logits": np.array(ends, "int32")}
    return QuestionExamples(texts, targets, left_out)


def question_answering(
    data: str | os.PathLike[str] | Questions,
    tokenizer: Tokenizer,
    *,
    batch_size: int = 16,
    max_length: int = MAX_LENGTH,
    overlap: int = OVERLAP,
    shuffle: bool = True,
    seed: int = 0,
    config: EncoderConfig | None = None,
) -> Any:
    """A `tf.data.Dataset` of length-bucketed batches for `QuestionAnswerer.fit`.

    Targets are `start_logits` and `end_logits`, int32 [batch]: the rows where the answer begins and ends, 0 in a window
    without it. Questions no place of an answer is known of are left out, with a warning; `question_examples` names
    them.

    Args:
        data: a SQuAD file, or questions read before.
        max_length: longest window in tokens; longer contexts are cut into several.
        overlap: tokens of context that neighbouring windows share, or half the room for it where that is less.
        shuffle: a new order each epoch, a function of `seed` and the epoch's number; False sorts by length.
        config: of the encoder, for inputs other than BERT's; None derives them from the tokenizer.

    Raises:
        DataError: a file that cannot be read as SQuAD; the message names file and line.
    """
    if not isinstance(data, Questions):
        data = read_questions(data)
        warn_of(data.path, data.problems)
    config = config or inputs_of(tokenizer)
    asked = asked_contexts(
        tokenizer,
        [question.question for question in data.questions],
        [question.context for question in data.questions],
        max_length=min(max_length, config.max_positions),
        overlap=overlap,
    )
    examples = question_examples(data.questions, asked)
    warn_of(data.path, [f"the question {question.id!r} is left out: no place known" for question in examples.left_out])
    return batched_dataset(examples.texts, examples.targets, config, batch_size=batch_size, shuffle=shuffle, seed=seed)
