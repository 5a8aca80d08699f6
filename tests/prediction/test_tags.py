"""Tag sequences against a search through all of them, by the definition of IOB2."""

import itertools

import numpy as np
import pytest

from keras_bert.prediction.entities import TaggedWord, group_entities
from keras_bert.prediction.tags import best_legal_path, legal_tags

LABELS = ["O", "B-A", "I-A", "B-B", "I-B"]
SETS = [LABELS, ["I-A", "O", "B-B", "I-B"], ["NOUN", "VERB"], ["O", "B-A", "I-A", "I-C"], ["B-A", "I-A"]]


def is_legal(tags, labels):
    """Written anew: I-X needs B-X or I-X before it, where the labels know B-X."""
    before = ["O", *tags[:-1]]
    return all(
        not tag.startswith("I-") or "B-" + tag[2:] not in labels or (last[:2] in ("B-", "I-") and last[2:] == tag[2:])
        for last, tag in zip(before, tags, strict=True)
    )


@pytest.mark.parametrize("labels", SETS)
def test_the_best_legal_sequence(labels):
    legal = legal_tags(labels)
    random = np.random.default_rng(0)
    for _ in range(40):
        logits = random.normal(0, 2, (random.integers(1, 6), len(labels)))
        every = itertools.product(range(len(labels)), repeat=len(logits))
        sequences = [s for s in every if is_legal([labels[i] for i in s], labels)]
        totals = [sum(logits[word, tag] for word, tag in enumerate(sequence)) for sequence in sequences]
        assert tuple(best_legal_path(logits, legal)) == sequences[int(np.argmax(totals))]


def test_no_long_sequence_is_illegal():
    legal = legal_tags(LABELS)
    random = np.random.default_rng(1)
    for _ in range(100):
        path = best_legal_path(random.normal(0, 3, (80, len(LABELS))), legal)
        assert is_legal([LABELS[tag] for tag in path], LABELS)
    assert best_legal_path(np.zeros((0, 5)), legal).tolist() == []


def test_neighbouring_entities_stay_apart():
    tags = ["B-A", "I-A", "B-A", "B-B", "I-B", "O", "B-B"]
    words = [TaggedWord("w", 2 * i, 2 * i + 1, tag, 0.5 + i / 10) for i, tag in enumerate(tags)]
    entities = group_entities("w w w w w w w", words)
    assert [(e.label, e.start, e.end) for e in entities] == [("A", 0, 3), ("A", 4, 5), ("B", 6, 9), ("B", 12, 13)]
    assert entities[0].score == pytest.approx(0.55)
