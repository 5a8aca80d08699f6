"""SQuAD's scores against a second implementation, written from the definition of the official evaluation."""

import collections
import random
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert import metrics
from keras_bert.errors import DataError

WORDS = [
    "the",
    "a",
    "an",
    "An",
    "THE",
    "cat",
    "Cat",
    "cat's",
    "anthem",
    "U.S.",
    "-",
    "—",
    "1,000",
    "İ",
    "é",
    "\t",
    "",
    "A-1",
]
texts = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
no_answer = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0, 1.5])


# === The official evaluation, by its definition ===


def normalize(text):
    text = "".join(ch for ch in text.lower() if ch not in set(string.punctuation))
    return " ".join(re.compile(r"\b(a|an|the)\b", re.UNICODE).sub(" ", text).split())


def overlap_f1(gold, given, version):
    gold, given = normalize(gold).split(), normalize(given).split()
    if version == 2 and (len(gold) == 0 or len(given) == 0):
        return int(gold == given)
    same = sum((collections.Counter(gold) & collections.Counter(given)).values())
    if same == 0:
        return 0
    precision, recall = same / len(given), same / len(gold)
    return 2 * precision * recall / (precision + recall)


def official_v1(data, predictions):
    exact = f1 = 0
    for key, golds in data.items():
        exact += max(normalize(gold) == normalize(predictions[key]) for gold in golds)
        f1 += max(overlap_f1(gold, predictions[key], 1) for gold in golds)
    return 100.0 * exact / len(data), 100.0 * f1 / len(data), len(data)


def official_v2(data, predictions, probabilities=None, threshold=1.0):
    exact, f1, has_answer = {}, {}, {}
    for key, golds in data.items():
        has_answer[key] = bool(golds)
        golds = [gold for gold in golds if normalize(gold)] or [""]
        exact[key] = max(int(normalize(gold) == normalize(predictions[key])) for gold in golds)
        f1[key] = max(overlap_f1(gold, predictions[key], 2) for gold in golds)
    raw = exact, f1
    if probabilities is not None:
        silent = {key for key in data if probabilities[key] > threshold}
        exact, f1 = ({k: float(not has_answer[k]) if k in silent else s[k] for k in data} for s in raw)

    def summary(keys):
        keys = list(keys)
        if not keys:
            return None
        return 100.0 * sum(exact[k] for k in keys) / len(keys), 100.0 * sum(f1[k] for k in keys) / len(keys), len(keys)

    parts = summary(data), summary(k for k in data if has_answer[k]), summary(k for k in data if not has_answer[k])
    return parts, raw, has_answer


def official_threshold(predictions, scores, probabilities, has_answer):
    current = best = sum(1 for k in has_answer if not has_answer[k])
    best_threshold = 0.0
    for key in sorted(probabilities, key=lambda k: probabilities[k]):
        unanswerable = -1 if predictions[key] else 0
        current += scores[key] if has_answer[key] else unanswerable
        if current > best:
            best, best_threshold = current, probabilities[key]
    return 100.0 * best / len(scores), best_threshold


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.lists(texts, min_size=1, max_size=3), texts), min_size=1, max_size=6))
def test_squad_1(questions):
    answers, predictions = [golds for golds, _ in questions], [given for _, given in questions]
    expected = official_v1(dict(enumerate(answers)), predictions)
    assert metrics.squad_scores(answers, predictions) == pytest.approx(expected)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.lists(texts, max_size=3), texts, no_answer), min_size=1, max_size=6),
    st.one_of(st.none(), no_answer),
)
def test_squad_2(questions, threshold):
    answers, predictions, scores = (list(column) for column in zip(*questions, strict=True))
    options = () if threshold is None else (scores, threshold)
    expected, _, _ = official_v2(dict(enumerate(answers)), predictions, *options)
    got = metrics.squad_v2_scores(answers, predictions, *options)
    for part, values in zip(got, expected, strict=True):
        assert part == (None if values is None else pytest.approx(values))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.lists(texts, max_size=3), texts, no_answer), min_size=1, max_size=8))
def test_best_thresholds(questions):
    answers, predictions, scores = (list(column) for column in zip(*questions, strict=True))
    _, raw, has_answer = official_v2(dict(enumerate(answers)), predictions)
    got = metrics.best_thresholds(answers, predictions, scores)
    for threshold, values in zip(got, raw, strict=True):
        expected = official_threshold(predictions, values, dict(enumerate(scores)), has_answer)
        assert threshold == pytest.approx(expected)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**31))
def test_10000_predictions(seed):
    """5 times 2,000 questions, by the rules of both versions and with the best threshold."""
    draw = random.Random(seed)

    def text():
        return " ".join(draw.choices(WORDS, k=draw.randint(0, 5)))

    answers = [[text() for _ in range(draw.randint(0, 3))] for _ in range(2000)]
    predictions, scores = [text() for _ in answers], [draw.random() for _ in answers]
    data, by_key = dict(enumerate(answers)), dict(enumerate(scores))
    expected, raw, has_answer = official_v2(data, predictions, by_key, 0.5)
    for part, values in zip(metrics.squad_v2_scores(answers, predictions, scores, 0.5), expected, strict=True):
        assert part == pytest.approx(values)
    _, raw, has_answer = official_v2(data, predictions)
    for threshold, values in zip(metrics.best_thresholds(answers, predictions, scores), raw, strict=True):
        assert threshold == pytest.approx(official_threshold(predictions, values, by_key, has_answer))
    answered = {key: golds for key, golds in data.items() if golds}
    first = official_v1(answered, predictions)
    got = metrics.squad_scores(list(answered.values()), [predictions[key] for key in answered])
    assert got == pytest.approx(first)


def test_normal_forms():
    assert metrics.normalize_answer("  The U.S.\n(a) «Anthem»  ") == "us «anthem»"
    assert metrics.exact_match("the cat", "Cat!") == 1
    assert metrics.token_f1("a b c d", "b c") == pytest.approx(0.8)  # the article is gone: 2 of 2, and 2 of 3
    assert metrics.token_f1("the", "a") == 0
    assert metrics.token_f1("the", "a", empty_equals_empty=True) == 1


def test_bad_input_is_named():
    with pytest.raises(DataError, match="question 1 has no answer"):
        metrics.squad_scores([["a"], []], ["a", ""])
    with pytest.raises(DataError, match="2 in all, got 1"):
        metrics.squad_v2_scores([["a"], []], ["a"])
    with pytest.raises(DataError, match="no questions"):
        metrics.squad_v2_scores([], [])
