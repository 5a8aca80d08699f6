"""GLUE's metrics against scikit-learn and SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert import metrics

classes = st.integers(2, 5).flatmap(
    lambda n: st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), min_size=1, max_size=40)
)
numbers = st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=40)


@settings(max_examples=300, deadline=None)
@given(classes)
def test_classes(pairs):
    sklearn = pytest.importorskip("sklearn.metrics")
    targets, predictions = np.array(pairs).T
    assert metrics.accuracy(targets, predictions) == pytest.approx(sklearn.accuracy_score(targets, predictions))
    expected = sklearn.f1_score(targets, predictions, pos_label=1, average=None, labels=[1], zero_division=0)[0]
    assert metrics.f1(targets, predictions) == pytest.approx(expected)
    expected = sklearn.f1_score(targets, predictions, average="macro", zero_division=0)
    assert metrics.macro_f1(targets, predictions) == pytest.approx(expected)
    assert metrics.matthews(targets, predictions) == pytest.approx(sklearn.matthews_corrcoef(targets, predictions))


@settings(max_examples=300, deadline=None)
@given(numbers)
def test_numbers(pairs):
    stats = pytest.importorskip("scipy.stats")
    targets, predictions = np.array(pairs, "float64").T
    if len(set(targets)) == 1 or len(set(predictions)) == 1:
        assert metrics.pearson(targets, predictions) == metrics.spearman(targets, predictions) == 0
        return
    assert metrics.pearson(targets, predictions) == pytest.approx(stats.pearsonr(targets, predictions)[0], abs=1e-9)
    assert metrics.spearman(targets, predictions) == pytest.approx(stats.spearmanr(targets, predictions)[0], abs=1e-9)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**31))
def test_10000_predictions(seed):
    """5 times 2,000, of classes and of numbers."""
    sklearn, stats = pytest.importorskip("sklearn.metrics"), pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(seed)
    x, y = generator.integers(0, 4, (2, 2000))
    assert metrics.accuracy(x, y) == pytest.approx(sklearn.accuracy_score(x, y))
    assert metrics.macro_f1(x, y) == pytest.approx(sklearn.f1_score(x, y, average="macro"))
    assert metrics.f1(x, y, 2) == pytest.approx(sklearn.f1_score(x == 2, y == 2))
    assert metrics.matthews(x, y) == pytest.approx(sklearn.matthews_corrcoef(x, y))
    a, b = generator.normal(size=(2, 2000)).round(1)
    assert metrics.pearson(a, b) == pytest.approx(stats.pearsonr(a, b)[0], abs=1e-9)
    assert metrics.spearman(a, b) == pytest.approx(stats.spearmanr(a, b)[0], abs=1e-9)
