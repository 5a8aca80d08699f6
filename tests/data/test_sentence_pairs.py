"""Pairs of texts: what is read, and how batches lay them."""

import numpy as np
import pytest
from tiny import tiny_tokenizer

from keras_bert.data import Columns, read_sentence_pairs, sentence_pairs
from keras_bert.errors import DataError


def write(tmp_path, content, name="pairs.tsv"):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def test_scores_are_scaled(tmp_path):
    path = write(tmp_path, "a\tb\tscore\ngood film\tfine film\t4\nbad\tgood\t0.5\n")
    data = read_sentence_pairs(path, Columns(label="score"), max_score=5)
    assert (data.texts, data.pairs, data.lines) == (["good film", "bad"], ["fine film", "good"], [2, 3])
    assert data.scores == [0.8, 0.1]


def test_pairs_without_scores(tmp_path):
    assert read_sentence_pairs(write(tmp_path, "a\tb\nx\ty\n")).scores is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tb\tlabel\nx\ty\t2\n", "line 2: expected a score from -1 to 1, got '2'"),
        ("a\tb\tlabel\nx\ty\tnan\n", "line 2: expected a score from -1 to 1, got 'nan'"),
        ("a\tlabel\nx\t1\n", "line 2: expected two columns of text, got one"),
        ("a\tb\nx\t \n", "line 2: the pair is empty"),
        ("a\tb\n", "holds no pairs"),
    ],
)
def test_bad_files_are_named(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_sentence_pairs(write(tmp_path, content))


def test_the_two_texts_of_a_pair_stand_together(tmp_path):
    tokenizer = tiny_tokenizer(tmp_path / "tokenizer")
    words = ["good", "bad", "dull", "fine", "great", "poor", "sad"]
    rows = "".join(f"{w} film\t{'very ' * i}{w}\t{i / 10}\n" for i, w in enumerate(words))
    dataset = sentence_pairs(write(tmp_path, "a\tb\tlabel\n" + rows), tokenizer, batch_size=3, seed=2)
    assert int(dataset.cardinality()) == 3
    seen = {}
    for features, scores in dataset:
        assert set(features) == {"token_ids", "padding_mask", "segment_ids"}
        texts = [tokenizer.decode(row) for row in features["token_ids"].numpy()]
        for first, second, pair in zip(texts[::2], texts[1::2], scores.numpy().reshape(-1, 2), strict=True):
            assert first.split()[0] == second.split()[-1]
            assert pair[0] == pair[1]
            seen[first] = float(pair[0])
    assert seen == pytest.approx({f"{w} film": i / 10 for i, w in enumerate(words)})
    orders = [np.concatenate([y for _, y in dataset]).tolist() for _ in range(2)]
    assert orders[0] != orders[1]
