"""Predictions do not depend on batch or neighbours; given words keep their number; spans against a full search."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_bert as kb
from keras_bert.errors import KerasBertError
from keras_bert.metrics import entity_spans
from keras_bert.prediction import answer_questions, find_entities, tag_words
from keras_bert.prediction.answers import best_spans

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
WORDS = ["John", "U.S.", "naïve", "\u0301", "\U0001f600", "東京", "York", "x" * 30]


@pytest.fixture(scope="module")
def tagger(make_tiny):
    return make_tiny(kb.TokenClassifier, "bert", LABELS)


def test_a_tag_for_each_word(tagger):
    draw = np.random.default_rng(0)
    sentences = [[WORDS[i] for i in draw.integers(0, len(WORDS), count)] for count in (0, 1, 5, 60, 3, 20)]
    done = []
    together = tag_words(tagger, sentences, batch_size=4, on_text=done.append)
    assert [len(tags) for tags in together] == [len(words) for words in sentences]
    assert sum(done) == len(sentences)
    assert together == [tag_words(tagger, [words], batch_size=1)[0] for words in sentences]
    for words, tags in zip(sentences, together, strict=True):
        assert entity_spans(tags) == entity_spans(tags, strict=False), "illegal"
        assert all(tag == "O" for word, tag in zip(words, tags, strict=True) if word == "\u0301")


def test_words_of_a_text_written_out_are_the_same(tagger):
    """Where the tokenizer's words are the given ones, both ways give one answer."""
    words = ["John", "lives", "in", "New", "York", "and", "東", "\U0001f600"] * 6
    (result,) = find_entities(tagger, [" ".join(words)])
    assert [word.text for word in result.words] == words
    assert [word.tag for word in result.words] == tag_words(tagger, [words])[0]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=12),
    st.integers(1, 5),
    st.integers(1, 6),
    st.sets(st.integers(0, 11)),
)
def test_best_spans_are_all_weighed(logits, n_best, longest, forbidden):
    starts = np.array([-np.inf if i in forbidden else s for i, (s, _) in enumerate(logits)], "float32")
    ends = np.array([e for _, e in logits], "float32")
    every = [
        (float(starts[first] + ends[last]), first, last)
        for first in range(len(logits))
        for last in range(first, min(first + longest, len(logits)))
        if first not in forbidden
    ]
    expected = sorted(every, key=lambda span: (-span[0], span[1], span[2]))[:n_best]
    assert best_spans(starts, ends, n_best, longest) == expected


def test_a_long_context_is_read_to_its_end(make_tiny):
    """A head that likes one token finds it in the last of many windows."""
    model = make_tiny(kb.QuestionAnswerer, "bert")
    context = "the river is long . " * 60 + "Paris" + " the river is long ." * 3
    found = answer_questions(model, ["where ?"] * 3, [context, "", context[::-1]], n_best=3)
    assert [context[answer.start : answer.end] for answer in found[0].n_best] == [a.text for a in found[0].n_best]
    assert found[1].n_best == ()
    assert (found[1].answer, found[1].null_score_difference) == ("", None)
    last = max(answer.end for answer in answer_questions(model, ["?"], [context], n_best=2000)[0].n_best)
    assert last == len(context)


def test_bad_requests_are_named(make_tiny, tagger):
    model = make_tiny(kb.QuestionAnswerer, "bert")
    with pytest.raises(KerasBertError, match="equally many, got 1 and 2"):
        answer_questions(model, ["a"], ["b", "c"])
    with pytest.raises(KerasBertError, match="must be at least 1, got 0 and 30"):
        answer_questions(model, ["a"], ["b"], n_best=0)
    with pytest.raises(KerasBertError, match="without a tokenizer"):
        tag_words(kb.TokenClassifier(tagger.encoder, LABELS), [["a"]])


def test_nan_is_named(make_tiny):
    model = make_tiny(kb.TokenClassifier, "bert", LABELS)
    model.head.classifier.bias.assign([float("nan")] * 5)
    with pytest.raises(KerasBertError, match=r"NaN or infinity for the text '.*john"):
        tag_words(model, [["John"]])
