"""Scores by class against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert import metrics


def draw(seed, texts, classes):
    generator = np.random.default_rng(seed)
    return generator.random((texts, classes)) < 0.4, generator.random((texts, classes)) < 0.4


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(2, 6))
def test_several_labels(seed, texts, classes):
    sklearn = pytest.importorskip("sklearn.metrics")
    targets, predictions = draw(seed, texts, classes)
    got = metrics.class_scores(targets, predictions)
    expected = sklearn.precision_recall_fscore_support(targets, predictions, zero_division=0)
    np.testing.assert_allclose(np.array(got).T, expected, atol=1e-12)
    micro = sklearn.f1_score(targets, predictions, average="micro", zero_division=0)
    assert metrics.micro_f1(targets, predictions) == pytest.approx(micro)
    assert metrics.subset_accuracy(targets, predictions) == pytest.approx(sklearn.accuracy_score(targets, predictions))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(2, 6))
def test_one_label(seed, texts, classes):
    sklearn = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(seed)
    targets, predictions = generator.integers(0, classes, (2, texts))
    matrix = metrics.confusion_matrix(targets, predictions, classes)
    np.testing.assert_array_equal(matrix, sklearn.confusion_matrix(targets, predictions, labels=np.arange(classes)))
    got = metrics.class_scores(metrics.one_hot(targets, classes), metrics.one_hot(predictions, classes))
    expected = sklearn.precision_recall_fscore_support(targets, predictions, labels=np.arange(classes), zero_division=0)
    np.testing.assert_allclose(np.array(got).T, expected, atol=1e-12)
