"""Exact match and F1 of extractive answers, as the official scripts of SQuAD 1.1 (Rajpurkar et al. 2016) and
SQuAD 2.0 (Rajpurkar et al. 2018) compute them. All scores in percent."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..errors import DataError

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)


def normalize_answer(text: str) -> str:
    """Lower-case, without ASCII punctuation, without the articles a, an, the; one blank between words."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(target: str, prediction: str) -> float:
    """1 where the normalised texts are equal, else 0."""
    return float(normalize_answer(target) == normalize_answer(prediction))


def token_f1(target: str, prediction: str, *, empty_equals_empty: bool = False) -> float:
    """F1 of the normalised words, counted as often as they occur.

    Args:
        empty_equals_empty: two texts without words score 1, as in SQuAD 2.0; 0 as in SQuAD 1.1.
    """
    expected, found = normalize_answer(target).split(), normalize_answer(prediction).split()
    if empty_equals_empty and not (expected and found):
        return float(expected == found)
    common = (Counter(expected) & Counter(found)).total()
    return 2 * common / (len(expected) + len(found)) if common else 0.0


class SquadScores(NamedTuple):
    """Percentages, and the number of questions."""

    exact_match: float
    f1: float
    total: int


def squad_scores(answers: Sequence[Sequence[str]], predictions: Sequence[str]) -> SquadScores:
    """SQuAD 1.1: for each question the best score over its answers, then the mean.

    Args:
        answers: the answers that are right, at least one a question.
        predictions: one a question; an empty one is a wrong one.

    Raises:
        DataError: not equally many, none at all, or a question without an answer.
    """
    _check(answers, predictions)
    for index, right in enumerate(answers):
        if not right:
            raise DataError(f"question {index} has no answer: SQuAD 1.1 knows none such, use squad_v2_scores")
    exact = [_best(exact_match, right, given) for right, given in zip(answers, predictions, strict=True)]
    f1 = [_best(token_f1, right, given) for right, given in zip(answers, predictions, strict=True)]
    return SquadScores(_mean(exact), _mean(f1), len(exact))


class SquadV2Scores(NamedTuple):
    """All questions; those that have an answer; those that have none; None where there are no such questions."""

    all: SquadScores
    has_answer: SquadScores | None
    no_answer: SquadScores | None


def squad_v2_scores(
    answers: Sequence[Sequence[str]],
    predictions: Sequence[str],
    no_answer_scores: Sequence[float] | None = None,
    threshold: float = 1.0,
) -> SquadV2Scores:
    """SQuAD 2.0: a question without answers is right where the prediction is empty.

    Args:
        answers: the answers that are right; empty for a question that has none.
        predictions: one a question; empty for "no answer".
        no_answer_scores: how sure the model is that there is no answer; above `threshold`, that is the prediction.

    Raises:
        DataError: not equally many, or none at all.
    """
    exact, f1 = _raw_scores(answers, predictions)
    has_answer = [bool(right) for right in answers]
    if no_answer_scores is not None:
        _check(answers, no_answer_scores)
        for index, score in enumerate(no_answer_scores):
            if score > threshold:
                exact[index] = f1[index] = float(not has_answer[index])
    return SquadV2Scores(
        SquadScores(_mean(exact), _mean(f1), len(exact)),
        _part(exact, f1, has_answer, True),
        _part(exact, f1, has_answer, False),
    )


class Threshold(NamedTuple):
    """The best percentage that any threshold on the no-answer score reaches, and the threshold."""

    score: float
    threshold: float


def best_thresholds(
    answers: Sequence[Sequence[str]], predictions: Sequence[str], no_answer_scores: Sequence[float]
) -> tuple[Threshold, Threshold]:
    """The threshold for the best exact match and the one for the best F1.

    As the official script: the questions are let through in the order of their no-answer score, starting from "no
    answer" to all, whose threshold it calls 0. Find it on development data: it is a choice that can overfit.

    Args:
        predictions: the best answer of each question, given even where "no answer" is likelier.

    Raises:
        DataError: not equally many, or none at all.
    """
    _check(answers, no_answer_scores)
    exact, f1 = _raw_scores(answers, predictions)
    order = sorted(range(len(answers)), key=lambda index: no_answer_scores[index])

    def best(scores: Sequence[float]) -> Threshold:
        current = highest = float(sum(not right for right in answers))
        threshold = 0.0
        for index in order:
            current += scores[index] if answers[index] else -float(bool(predictions[index]))
            if current > highest:
                highest, threshold = current, float(no_answer_scores[index])
        return Threshold(100 * highest / len(answers), threshold)

    return best(exact), best(f1)


def _raw_scores(answers: Sequence[Sequence[str]], predictions: Sequence[str]) -> tuple[list[float], list[float]]:
    """Exact match and F1 of each question by the rules of SQuAD 2.0, where an answer of no words counts as none."""
    _check(answers, predictions)
    exact, f1 = [], []
    for right, given in zip(answers, predictions, strict=True):
        texts = [text for text in right if normalize_answer(text)] or [""]
        exact.append(_best(exact_match, texts, given))
        f1.append(max(token_f1(text, given, empty_equals_empty=True) for text in texts))
    return exact, f1


def _best(score: Callable[[str, str], float], targets: Sequence[str], prediction: str) -> float:
    return max(score(target, prediction) for target in targets)


def _part(exact: list[float], f1: list[float], has_answer: list[bool], wanted: bool) -> SquadScores | None:
    chosen = [index for index, has in enumerate(has_answer) if has == wanted]
    if not chosen:
        return None
    return SquadScores(_mean([exact[i] for i in chosen]), _mean([f1[i] for i in chosen]), len(chosen))


def _mean(scores: Sequence[float]) -> float:
    return 100 * sum(scores) / len(scores)


def _check(answers: Sequence[Sequence[str]], values: Sequence[object]) -> None:
    if len(answers) != len(values):
        raise DataError(f"expected one value a question, {len(answers)} in all, got {len(values)}")
    if not answers:
        raise DataError("no questions to score")
