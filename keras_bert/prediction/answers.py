"""The slice of a context that answers a question, as BERT does it on SQuAD (google-research/bert, run_squad.py); the
same answers as keras_bert_edge gives."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..data.predict import tokenizer_of
from ..data.questions import MAX_LENGTH, AskedContext, asked_contexts
from ..data.windows import OVERLAP, widest_context
from ..errors import KerasBertError
from .windowed import run_windows


class Answer(NamedTuple):
    """`context[start:end] == text`; `score` is its probability among the n best, `logit` the sum of start and end."""

    text: str
    start: int
    end: int
    score: float
    logit: float


class QuestionAnsweringResult(NamedTuple):
    """The best answer, and the n best.

    `null_score_difference` is the score of "no answer" less that of the best answer, None where the context holds
    nothing that could be one. Where it exceeds the caller's `null_threshold`, `answer` is empty and start = end = 0.
    `truncated`: the question was too long and cut; contexts are read by windows and never cut.
    """

    answer: str
    start: int
    end: int
    score: float
    null_score_difference: float | None
    n_best: tuple[Answer, ...]
    truncated: bool


class Span(NamedTuple):
    """An answer in tokens, both ends inside."""

    logit: float
    first: int
    last: int


def answer_questions(
    model: Any,
    questions: Sequence[str],
    contexts: Sequence[str],
    *,
    n_best: int = 20,
    max_answer_length: int = 30,
    null_threshold: float | None = None,
    batch_size: int = 32,
    max_length: int = MAX_LENGTH,
    overlap: int = OVERLAP,
    on_text: Callable[[int], None] | None = None,
) -> list[QuestionAnsweringResult]:
    """Answer questions, each from its own context.

    A span of tokens scores the sum of its start and end logits. Its start counts only in the window that sees it with
    the most text around it. "No answer" scores what its classification token gives, the lowest over the windows.

    Args:
        model: a `QuestionAnswerer` with a tokenizer.
        questions, contexts: equally many.
        n_best: answers to keep, best first.
        max_answer_length: longest answer in tokens.
        null_threshold: "no answer" is given where its score exceeds the best answer's by more than this; None: never.
            0 suits a model that was trained on SQuAD 2.0; `metrics.best_thresholds` finds a better one.
        max_length: longest window in tokens, at most the model's positions.
        overlap: tokens of context that neighbouring windows share, or half the room for it where that is less.
        on_text: called with 1 after each question.

    Raises:
        KerasBertError: an argument out of range, no tokenizer, or values that are not finite.
    """
    if len(questions) != len(contexts):
        raise KerasBertError(f"questions and contexts must be equally many, got {len(questions)} and {len(contexts)}")
    if n_best < 1 or max_answer_length < 1:
        raise KerasBertError(f"n_best and max_answer_length must be at least 1, got {n_best} and {max_answer_length}")
    asked = asked_contexts(
        tokenizer_of(model),
        questions,
        contexts,
        max_length=min(max_length, model.config.max_positions),
        overlap=overlap,
    )
    pending: collections.deque[AskedContext] = collections.deque()

    def windows() -> Iterator[Any]:
        for item in asked:
            pending.append(item)
            yield item.windows

    results = []
    for context, outputs in zip(contexts, run_windows(model, windows(), batch_size=batch_size), strict=True):
        item = pending.popleft()
        spans, null_logit = best_spans_of_windows(item, outputs, n_best, max_answer_length)
        results.append(_result(context, item, spans, null_logit, null_threshold))
        if on_text:
            on_text(1)
    return results


def best_spans_of_windows(
    asked: AskedContext, outputs: Sequence[dict[str, np.ndarray]], n_best: int, max_answer_length: int
) -> tuple[list[Span], float]:
    """The n best spans over all windows, in tokens of the context, and the score of "no answer"."""
    owner = widest_context(asked.windows, len(asked.context.token_ids))
    found: list[Span] = []
    null_logit = float("inf")
    for index, (window, logits) in enumerate(zip(asked.windows, outputs, strict=True)):
        rows = slice(window.first_row, window.first_row + window.end - window.start)
        starts, ends = logits["start_logits"], logits["end_logits"]
        # Row 0 is the classification token, the target of "no answer" in training.
        null_logit = min(null_logit, float(starts[0]) + float(ends[0]))
        allowed = np.where(owner[window.start : window.end] == index, starts[rows], -np.inf)
        for logit, first, last in best_spans(allowed, ends[rows], n_best, max_answer_length):
            found.append(Span(logit, first + window.start, last + window.start))
    found.sort(key=lambda span: -span.logit)
    return found[:n_best], null_logit


def best_spans(start_logits: np.ndarray, end_logits: np.ndarray, n_best: int, max_answer_length: int) -> list[Span]:
    """The n best spans with first <= last < first + max_answer_length, best first; of equals the earlier.

    Every span is weighed: length x max_answer_length sums.

    Args:
        start_logits, end_logits: float [length]; a start of -inf is not allowed.
    """
    length = len(start_logits)
    width = min(max_answer_length, length)
    if not length:
        return []
    ends = np.full(length + width, -np.inf)
    ends[:length] = end_logits
    sums = start_logits[:, None].astype(np.float64) + np.lib.stride_tricks.sliding_window_view(ends, width)[:length]
    flat = sums.ravel()
    # A partition alone would choose among equals differently from one numpy version to the next.
    least = np.partition(flat, max(flat.size - n_best, 0))[max(flat.size - n_best, 0)]
    candidates = np.flatnonzero((flat >= least) & (flat > -np.inf))
    best = candidates[np.argsort(-flat[candidates], kind="stable")][:n_best]
    return [Span(float(flat[i]), int(i // width), int(i // width + i % width)) for i in best]


def _result(
    context: str, asked: AskedContext, spans: Sequence[Span], null_logit: float, null_threshold: float | None
) -> QuestionAnsweringResult:
    offsets = asked.context.offsets
    places = []
    for logit, first, last in spans:
        inside = context[offsets[first][0] : offsets[last][1]]
        start = offsets[first][0] + len(inside) - len(inside.lstrip())
        if inside.strip():
            places.append((logit, start, start + len(inside.strip())))
    n_best = _with_probabilities(context, places, null_logit if null_threshold is not None else None)
    difference = null_logit - n_best[0].logit if n_best else None
    if difference is None or (null_threshold is not None and difference > null_threshold):
        score = 1.0 - sum(answer.score for answer in n_best)
        return QuestionAnsweringResult("", 0, 0, score, difference, n_best, asked.question_truncated)
    best = n_best[0]
    return QuestionAnsweringResult(
        best.text, best.start, best.end, best.score, difference, n_best, asked.question_truncated
    )


def _with_probabilities(
    context: str, places: Sequence[tuple[float, int, int]], null_logit: float | None
) -> tuple[Answer, ...]:
    """Answers with the softmax over their logits, "no answer" among them where it is one of the choices."""
    if not places:
        return ()
    logits = np.array([logit for logit, _, _ in places] + ([null_logit] if null_logit is not None else []))
    weights = np.exp(logits - logits.max())
    scores = (weights / weights.sum()).tolist()
    return tuple(
        Answer(context[start:end], start, end, score, logit)
        for (logit, start, end), score in zip(places, scores, strict=False)
    )
