"""Entity scores against seqeval, and examples worked by hand."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert import metrics
from keras_bert.errors import DataError

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-MISC"]
tag_pairs = st.lists(
    st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=12), min_size=1, max_size=6
)


@settings(max_examples=300, deadline=None)
@given(tag_pairs, st.booleans())
def test_scores_equal_seqeval(sentences, strict):
    seqeval = pytest.importorskip("seqeval.metrics")
    scheme = pytest.importorskip("seqeval.scheme").IOB2
    targets = [[target for target, _ in sentence] for sentence in sentences]
    predictions = [[prediction for _, prediction in sentence] for sentence in sentences]
    got = metrics.entity_scores(targets, predictions, strict=strict)
    if not got.per_type:
        assert got.micro == got.macro == (0, 0, 0, 0)  # seqeval refuses to score nothing
        return
    options = {"mode": "strict", "scheme": scheme} if strict else {}
    report = seqeval.classification_report(targets, predictions, output_dict=True, zero_division=0, **options)
    names = ("precision", "recall", "f1-score", "support")
    for kind, score in {**got.per_type, "micro avg": got.micro, "macro avg": got.macro}.items():
        assert score == pytest.approx(tuple(report[kind][name] for name in names)), kind
    assert set(report) - {"micro avg", "macro avg", "weighted avg"} == set(got.per_type)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**31))
def test_10000_predictions_equal_seqeval(seed):
    """5 times 2,000 sentences of 1 to 20 words."""
    seqeval = pytest.importorskip("seqeval.metrics")
    scheme = pytest.importorskip("seqeval.scheme").IOB2
    draw = random.Random(seed)
    lengths = [draw.randint(1, 20) for _ in range(2000)]
    targets, predictions = ([draw.choices(TAGS, k=n) for n in lengths] for _ in range(2))
    found = metrics.entity_scores(targets, predictions).micro
    expected = (
        score(targets, predictions, mode="strict", scheme=scheme)
        for score in (seqeval.precision_score, seqeval.recall_score, seqeval.f1_score)
    )
    assert found[:3] == pytest.approx(tuple(expected))


@pytest.mark.parametrize(
    ("tags", "strict", "loose"),
    [
        ("B-A I-A O", [("A", 0, 1)], [("A", 0, 1)]),
        ("B-A B-A I-A", [("A", 0, 0), ("A", 1, 2)], [("A", 0, 0), ("A", 1, 2)]),
        ("I-A I-A O I-B", [], [("A", 0, 1), ("B", 3, 3)]),
        ("B-A I-B I-A", [("A", 0, 0)], [("A", 0, 0), ("B", 1, 1), ("A", 2, 2)]),
    ],
)
def test_spans(tags, strict, loose):
    assert metrics.entity_spans(tags.split()) == strict
    assert metrics.entity_spans(tags.split(), strict=False) == loose


def test_unequal_sides_are_named():
    with pytest.raises(DataError, match="sentence 1: expected 2 predicted tags, got 1"):
        metrics.entity_scores([["O"], ["O", "O"]], [["O"], ["O"]])
    with pytest.raises(DataError, match="equally many"):
        metrics.entity_scores([["O"]], [])
