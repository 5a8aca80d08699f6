"""Any text at all, tried and shrunk by hypothesis: no exception, and what is answered is part of the text or of the
labels. benchmarks/edge_fuzz.py does the same at length, with corrupted files."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# Everything that str can hold, halves of surrogate pairs too, and what tokenizers and readers of lines trip over.
AWKWARD = ("[MASK]", "[CLS]", "[SEP]", "<mask>", "##", "\x00", "\r\n", "\u200d", "\ufeff", "a\u0301", "\u202e", "\t")
CHARACTERS = st.characters(exclude_categories=())
WORDS = st.sampled_from(("John", "lives in", "New York", "paris", "the capital of france is", "good", "film", *AWKWARD))
TEXTS = st.lists(st.one_of(st.text(CHARACTERS, max_size=12), WORDS), max_size=12).map(" ".join)
LONG = st.tuples(TEXTS, st.integers(1, 30)).map(lambda pair: f"{pair[0]} " * pair[1])

tried = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", ["single", "pair", "lengths", "mediapipe"])
@tried
@given(text=LONG, second=TEXTS)
def test_classes(open_model, name, text, second):
    model = open_model(name)
    result = model(text, second) if model.reads_pairs else model(text)
    assert result.label in model.labels
    assert sorted(result.scores) == sorted(model.labels)
    assert math.fsum(result.scores.values()) == pytest.approx(1, abs=1e-5)
    assert result.scores[result.label] == max(result.scores.values())


@tried
@given(text=LONG)
def test_several_labels(open_model, text):
    model = open_model("multi_label")
    result = model(text)
    assert set(result.labels) <= set(model.labels)
    assert all(0 <= score <= 1 for score in result.scores.values())


@tried
@given(texts=st.lists(LONG, max_size=5))
def test_a_list_answers_as_its_texts_do(open_model, texts):
    model = open_model("single")
    together = model(texts)
    assert [result.label for result in together] == [model(text).label for text in texts]


@pytest.mark.parametrize("name", ["entities", "entities_unigram"])
@tried
@given(text=LONG)
def test_entities(open_model, name, text):
    model = open_model(name)
    result = model(text)
    kinds = {label[2:] for label in model.labels if label != "O"}
    end = 0
    for entity in result.entities:
        assert entity.label in kinds
        assert end <= entity.start < entity.end <= len(text)
        assert text[entity.start : entity.end] == entity.text
        end = entity.end
    tags = [word.tag for word in result.words]
    assert all(not tag.startswith("I-") or last[1:] == tag[1:] for last, tag in zip(["O", *tags], tags))


@pytest.mark.parametrize("name", ["answers", "answers_bpe"])
@tried
@given(question=TEXTS, context=LONG)
def test_answers_are_slices(open_model, name, question, context):
    result = open_model(name)(question, context)
    assert context[result.start : result.end] == result.answer


@pytest.mark.parametrize("name", ["embedding", "embedding_lengths"])
@tried
@given(text=LONG)
def test_vectors_are_finite(open_model, name, text):
    assert np.isfinite(open_model(name)(text).vector).all()


@pytest.mark.parametrize("name", ["masked", "masked_lengths"])
@tried
@given(text=LONG)
def test_fills(open_model, name, text):
    """The mask comes first: one behind the longest input is refused in words."""
    assert len(open_model(name)(f"[MASK] {text}", top_k=2).fills) >= 1
