"""Which text the examples hold, read back from batches over a corpus of unique tokens."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from corpora import SEP, Corpus, examples_of, one_epoch, parts_of, read, unmasked

pytestmark = pytest.mark.tensorflow_only


def pairs(corpus: Corpus, objective: str, batches: int, **settings) -> tuple[dict, list[tuple]]:
    """Rows, and (first text, second text, label, epoch) of each."""
    rows = read(corpus.data(objective=objective, **settings), batches, batch_size=64)
    tokens = unmasked(rows)
    found = []
    for row, places, number in examples_of(rows):
        first, second = parts_of(tokens[row, places])
        assert (np.diff(first) == 1).all()
        assert (np.diff(second) == 1).all()
        assert rows["sentence_positions"][row, number] == places[0]
        segments = np.repeat([0, 1], [len(first) + 2, len(second) + 1])
        np.testing.assert_array_equal(rows["segment_ids"][row, places], segments)
        found.append((first, second, rows["sentence_targets"][row, number], rows["example_ids"][row, 1]))
    return rows, found


@pytest.fixture(scope="module")
def nsp(corpus: Corpus) -> tuple[dict, list[tuple]]:
    return pairs(corpus, "nsp", 300)


def test_next_sentence_pairs(corpus: Corpus, nsp: tuple[dict, list[tuple]]) -> None:
    rows, examples = nsp
    labels = np.array([label for _, _, label, _ in examples])
    assert len(labels) > 15_000
    assert abs(labels.mean() - 0.5) < 0.01
    assert (rows["sentence_weights"] == 1).all()
    random_shards = set()
    for first, second, label, _ in examples:
        assert len(first) + len(second) <= 29
        assert len(np.unique(corpus.document[first])) == len(np.unique(corpus.document[second])) == 1
        if label:
            assert corpus.document[first[0]] != corpus.document[second[0]]
            random_shards.add(corpus.document[first[0]] // 50 == corpus.document[second[0]] // 50)
        else:
            assert corpus.document[first[0]] == corpus.document[second[0]]
            assert second[0] > first[-1]
            if len(first) + len(second) < 29:
                assert second[0] == first[-1] + 1
    # A random text is from the same shard, which is all that is in memory.
    assert random_shards == {True}


def test_next_sentence_pairs_walk_through_each_document(corpus: Corpus, nsp: tuple[dict, list[tuple]]) -> None:
    _, examples = nsp
    following = 0
    examples = sorted((example for example in examples if example[3] == 0), key=lambda example: example[0][0])
    for (first, second, label, _), (after, after_second, *_) in itertools.pairwise(examples):
        untrimmed = max(len(first) + len(second), len(after) + len(after_second)) < 29
        if untrimmed and corpus.document[first[0]] == corpus.document[after[0]]:
            # The sentences that a random text took the place of come again.
            assert after[0] == (first[-1] if label else second[-1]) + 1
            following += 1
    assert following > 50


def test_trimming_takes_from_the_longer_text(nsp: tuple[dict, list[tuple]], corpus: Corpus) -> None:
    """A trimmed pair is full; where both texts lost tokens they differ by at most one (BERT's truncate_seq_pair)."""
    _, examples = nsp
    both = 0
    fronts, backs = 0, 0
    for first, second, _, _ in examples:
        # A text that was not cut begins and ends with a sentence.
        cut = [
            not corpus.first[text[0]] or not (text[-1] + 1 == len(corpus.first) or corpus.first[text[-1] + 1])
            for text in (first, second)
        ]
        if all(cut) and len(first) + len(second) == 29 and max(len(first), len(second)) < 20:
            both += 1
            assert abs(len(first) - len(second)) <= 1
        fronts += not corpus.first[first[0]]
        backs += not (first[-1] + 1 == len(corpus.first) or corpus.first[first[-1] + 1])
    assert both > 20
    assert 0.8 < fronts / backs < 1.25


def test_sentence_order_pairs(corpus: Corpus) -> None:
    rows, examples = pairs(corpus, "sop", 300)
    labels = np.array([label for _, _, label, _ in examples])
    assert len(labels) > 15_000
    assert abs(labels.mean() - 0.5) < 0.01
    for first, second, label, _ in examples:
        assert corpus.document[first[0]] == corpus.document[second[0]]
        earlier, later = (second, first) if label else (first, second)
        assert later[0] > earlier[-1]
        if len(first) + len(second) < 29:
            assert later[0] == earlier[-1] + 1
    assert rows["token_ids"].shape[1] == 32


def full_sentences(corpus: Corpus, **settings) -> list[list[np.ndarray]]:
    """The runs of text of each example of one epoch."""
    data = corpus.data(objective="mlm", **settings)
    rows = one_epoch(read(data, 80, batch_size=64))
    tokens = unmasked(rows)
    # No example comes twice, and every token of the corpus comes once.
    assert len(np.unique(rows["example_ids"], axis=0)) == len(tokens)
    text = tokens[tokens > SEP + 1]
    np.testing.assert_array_equal(np.sort(text), np.arange(5, data.tokenizer.vocab_size))
    return sorted(
        (parts_of(tokens[row, places]) for row, places, _ in examples_of(rows)), key=lambda parts: parts[0][0]
    )


def test_full_sentences_fill_rows_across_documents(corpus: Corpus) -> None:
    examples = full_sentences(corpus)
    sentence_lengths = np.bincount(corpus.sentence[5:])
    separated = 0
    for parts, after in itertools.pairwise(examples):
        for part in parts:
            assert len(np.unique(corpus.document[part])) == 1
            assert (np.diff(part) == 1).all()
        for before, behind in itertools.pairwise(parts):
            assert behind[0] == before[-1] + 1
            assert corpus.document[behind[0]] == corpus.document[before[-1]] + 1
            separated += 1
        # The next sentence would not have fit.
        length = sum(map(len, parts)) + len(parts) - 1
        assert length <= 30
        following = after[0][0]
        if following == parts[-1][-1] + 1 and corpus.first[following]:
            border = corpus.document[following] != corpus.document[parts[-1][-1]]
            added = min(sentence_lengths[corpus.sentence[following]], 25)
            last_of_shard = border and corpus.document[following] % 50 == 0
            assert last_of_shard or length + added + border > 30
    assert separated > 100


def test_doc_sentences_stay_in_their_document(corpus: Corpus) -> None:
    examples = full_sentences(corpus, cross_documents=False)
    assert all(len(parts) == 1 for parts in examples)
    assert all(len(np.unique(corpus.document[part])) == 1 for (part,) in examples)


def test_short_examples(corpus: Corpus) -> None:
    """With rate 1 target lengths are uniform from 2 tokens up: rows then hold about half."""
    rows = read(corpus.data(objective="mlm", short_sequence_rate=1.0, masking="span"), 40)
    assert 0.4 < rows["padding_mask"].mean() < 0.7
