"""Packed rows hold the unpacked examples, laid side by side."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from corpora import Corpus, examples_of, one_epoch, read

from keras_bert.data.pretraining.packing import packed_rows

pytestmark = pytest.mark.tensorflow_only


def contents(rows: dict[str, np.ndarray]) -> list[tuple]:
    """All that the model sees and is asked of each example, wherever it lies, sorted."""
    found = []
    for row, places, number in examples_of(rows):
        used = rows["masked_weights"][row] == 1
        inside = used & np.isin(rows["masked_positions"][row], places)
        found.append(
            (
                rows["token_ids"][row, places].tolist(),
                rows["segment_ids"][row, places].tolist(),
                (rows["masked_positions"][row, inside] - places[0]).tolist(),
                rows["masked_targets"][row, inside].tolist(),
                rows["sentence_targets"][row, number] if "sentence_targets" in rows else None,
            )
        )
    return sorted(found)


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "nsp", "masking": "whole_word", "short_sequence_rate": 0.6},
        {"objective": "mlm", "masking": "span", "cross_documents": False, "short_sequence_rate": 0.6},
    ],
    ids=["nsp", "doc-sentences"],
)
def test_packed_rows_are_the_examples_laid_side_by_side(corpus: Corpus, settings: dict) -> None:
    apart = one_epoch(read(corpus.data(**settings), 90, batch_size=64))
    packed = one_epoch(read(corpus.data(**settings, pack=True, max_packed=3), 60, batch_size=64))
    assert contents(packed) == contents(apart)
    assert packed["padding_mask"].mean() > max(0.93, apart["padding_mask"].mean() + 0.1)

    held = packed["sequence_ids"].max(1)
    assert held.max() == 3
    for row, places, number in examples_of(packed):
        assert (np.diff(places) == 1).all()
        np.testing.assert_array_equal(packed["position_ids"][row, places], np.arange(len(places)))
        if "sentence_positions" in packed:
            assert packed["sentence_positions"][row, number] == places[0]
    if "sentence_weights" in packed:
        np.testing.assert_array_equal(packed["sentence_weights"].sum(1), held)
    padding = packed["padding_mask"] == 0
    np.testing.assert_array_equal(packed["sequence_ids"] == 0, padding)
    assert not packed["position_ids"][padding].any()


def test_rows_of_the_packer() -> None:
    """Each example once, rows within their capacity, and never more rows than first fit would open."""
    generator = np.random.default_rng(2)
    lengths = generator.integers(5, 129, 1500).astype("int32")
    order = generator.permutation(1500).astype("int32")
    rows = packed_rows(tf.constant(order), tf.constant(lengths), 128, 6).numpy()
    assert sorted(rows[rows >= 0].tolist()) == list(range(1500))
    sums = np.where(rows >= 0, lengths[np.maximum(rows, 0)], 0).sum(1)
    assert sums.max() <= 128
    assert (rows[:, 0] >= 0).all()
    # Empty places are at the end of a row.
    assert (np.diff((rows >= 0).astype(int), axis=1) <= 0).all()
    bins: list[int] = []
    for index in order:
        fitting = next((b for b, used in enumerate(bins) if used + lengths[index] <= 128), None)
        if fitting is None:
            bins.append(lengths[index])
        else:
            bins[fitting] += lengths[index]
    assert len(rows) <= 1.05 * len(bins)
    assert lengths.sum() / (128 * len(rows)) > 0.93
