"""The slice of a context that answers a question, as BERT does it on SQuAD (google-research/bert, run_squad.py)."""

import numbers
from typing import NamedTuple, Optional

import numpy as np

from ..errors import EdgeError
from .checks import require_counts, require_outputs
from .ranking import highest
from .windows import WindowMaker, widest_context


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
    null_score_difference: Optional[float]
    n_best: tuple[Answer, ...]
    truncated: bool


class QuestionAnswering:
    OPTIONS = ("n_best", "max_answer_length", "null_threshold")
    READS_PAIRS = True
    ONE_RUN = False

    def __init__(self, manifest, engine, tokenizer, path):
        require_outputs(engine, {"start_logits": None, "end_logits": None}, path)
        self._engine = engine
        self._tokenizer = tokenizer
        self._windows = WindowMaker(tokenizer, True, path)

    def __call__(
        self,
        text,
        pair=None,
        n_best: int = 20,
        max_answer_length: int = 30,
        null_threshold: Optional[float] = None,
    ):
        """The answer to the question `text` in the context `pair`.

        Args:
          n_best: answers to keep, best first.
          max_answer_length: longest answer in tokens.
          null_threshold: "no answer" is given where its score exceeds the best answer's by more than this; None: never.
            0 suits a model that was trained on SQuAD 2.0.
        """
        if pair is None:
            raise EdgeError("question_answering takes a pair: a question and the context that holds the answer")
        require_counts(n_best=n_best, max_answer_length=max_answer_length)
        if null_threshold is not None and not isinstance(null_threshold, numbers.Real):
            raise EdgeError(f"null_threshold must be a number or None, not {null_threshold!r}")
        question = self._tokenizer.encode(text, special_tokens=False).ids
        context = self._tokenizer.encode(pair, special_tokens=False)
        longest = self._windows.longest_question()
        windows = self._windows.windows(context.ids, question[:longest])
        spans, null_logit = self._best_spans(windows, len(context.ids), n_best, max_answer_length)
        offsets = context.offsets
        answers = []
        for logit, first, last in spans:
            start, end = trim(pair, offsets[first][0], offsets[last][1])
            if start < end:
                answers.append((logit, start, end))
        n_best_answers = self._with_probabilities(pair, answers, null_logit if null_threshold is not None else None)
        difference = null_logit - n_best_answers[0].logit if n_best_answers else None
        truncated = len(question) > longest
        if difference is None or (null_threshold is not None and difference > null_threshold):
            null_score = 1.0 - sum(answer.score for answer in n_best_answers)
            return QuestionAnsweringResult("", 0, 0, null_score, difference, n_best_answers, truncated)
        best = n_best_answers[0]
        return QuestionAnsweringResult(
            best.text, best.start, best.end, best.score, difference, n_best_answers, truncated
        )

    def _best_spans(self, windows, num_tokens, n_best, max_answer_length):
        """([(logit, first token, last token)] best first, lowest score of "no answer" over the windows)."""
        owner = widest_context(windows, num_tokens)
        found, null_logit = [], float("inf")
        for index, window in enumerate(windows):
            outputs = self._engine.run(window.token_ids, window.segment_ids)
            rows = slice(window.first_row, window.first_row + window.end - window.start)
            starts, ends = outputs["start_logits"][0], outputs["end_logits"][0]
            # Position 0 is [CLS], which stands for "no answer" in training.
            null_logit = min(null_logit, float(starts[0]) + float(ends[0]))
            allowed = np.where(owner[window.start : window.end] == index, starts[rows], -np.inf)
            for logit, first, last in best_spans(allowed, ends[rows], n_best, max_answer_length):
                found.append((logit, first + window.start, last + window.start))
        found.sort(key=lambda span: -span[0])
        return found[:n_best], null_logit

    @staticmethod
    def _with_probabilities(context, answers, null_logit):
        """Answers with the softmax over their logits, "no answer" among them where it is one of the choices."""
        logits = [logit for logit, _, _ in answers] + ([null_logit] if null_logit is not None else [])
        if not answers:
            return ()
        weights = np.exp(np.array(logits) - max(logits))
        scores = (weights / weights.sum()).tolist()
        return tuple(
            Answer(context[start:end], start, end, score, logit) for (logit, start, end), score in zip(answers, scores)
        )

    def describe(self, result):
        """The answer on one line, and its probability."""
        return f"{' '.join(result.answer.split()) or '(no answer)'}\t{result.score:.4f}"


def best_spans(start_logits, end_logits, n_best, max_answer_length):
    """The n best (logit, first, last) with first <= last < first + max_answer_length, best first.

    A start of -inf is not allowed. Every span is weighed: length x max_answer_length sums.
    """
    length = len(start_logits)
    width = min(max_answer_length, length)
    if not length:
        return []
    ends = np.full(length + width, -np.inf)
    ends[:length] = end_logits
    sums = start_logits[:, None].astype(np.float64) + np.lib.stride_tricks.sliding_window_view(ends, width)[:length]
    flat = sums.ravel()
    best = highest(flat, n_best)
    return [(float(flat[i]), int(i // width), int(i // width + i % width)) for i in best if flat[i] > -np.inf]


def trim(text, start, end):
    """The span without white space at its ends."""
    inside = text[start:end]
    start += len(inside) - len(inside.lstrip())
    return start, start + len(inside.strip())
