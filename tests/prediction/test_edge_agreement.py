"""The library and keras-bert-edge, which share no code, give the same answers for the same network and tokenizer.

The edge's tasks run here over the Keras network itself, one input of exact length a call, so that all but the network
is compared: tokenisation, windows, decoding, offsets.
"""

import random
import types

import numpy as np
import pytest

import keras_bert as kb
from keras_bert.prediction import answer_questions, find_entities

pytest.importorskip("keras_bert_edge")
from keras_bert_edge.tasks.question_answering import QuestionAnswering
from keras_bert_edge.tasks.token_classification import TokenClassification
from keras_bert_edge.tokenizer import TextTokenizer

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
PIECES = [
    "John", "lives", "in", "New York", "U.S.", "Harbour", "\u0301", "e\u0301te\u0301", "naïve", "\U0001f600",
    "👩‍👩‍👧", "\t", "\r\n", " ", "\u00a0", "\u200b", "東京", "don't", "[MASK]", "\x00", "\ud800", "?", "1,000",
]  # fmt: skip


class KerasNetwork:
    """A Keras model behind the interface of the edge's engine."""

    def __init__(self, model, output_widths):
        self.model, self.output_widths = model, output_widths

    def run(self, token_ids, segment_ids=None):
        inputs = {"token_ids": np.array([token_ids], "int32")}
        if self.model.config.uses_segments:
            inputs["segment_ids"] = np.array([segment_ids or [0] * len(token_ids)], "int32")
        outputs = self.model(inputs)
        named = outputs if isinstance(outputs, dict) else {"logits": outputs}
        return {name: np.asarray(values) for name, values in named.items()}


def edge_task(task, model, labels, widths):
    tokenizer = TextTokenizer(model.tokenizer.to_json().encode(), model.config.max_positions, False, "model")
    return task(types.SimpleNamespace(labels=labels), KerasNetwork(model, widths), tokenizer, "model")


def texts(seed, count, most):
    draw = random.Random(seed)
    made = [draw.choice(["", " "]).join(draw.choices(PIECES, k=draw.randrange(most))) for _ in range(count)]
    return ["", "John lives in New York", " \t\r\n", *made]


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "albert"])
def test_entities(make_tiny, family):
    model = make_tiny(kb.TokenClassifier, family, LABELS)
    edge = edge_task(TokenClassification, model, LABELS, {"logits": len(LABELS)})
    asked = texts(family, 6, 40)
    entities = 0
    for text, got in zip(asked, find_entities(model, asked, batch_size=5), strict=True):
        expected = edge(text)
        assert [tuple(word[:4]) for word in got.words] == [tuple(word[:4]) for word in expected.words]
        assert [tuple(entity[:4]) for entity in got.entities] == [tuple(entity[:4]) for entity in expected.entities]
        np.testing.assert_allclose([w.score for w in got.words], [w.score for w in expected.words], atol=1e-5)
        assert all(text[word.start : word.end] == word.text for word in got.words)
        assert all(text[entity.start : entity.end] == entity.text for entity in got.entities)
        entities += len(got.entities)
    assert entities > 5


@pytest.mark.parametrize(
    ("family", "null_threshold"), [("bert", None), ("distilbert", 0.0), ("roberta", None), ("albert", 0.0)]
)
def test_answers(make_tiny, family, null_threshold):
    model = make_tiny(kb.QuestionAnswerer, family)
    edge = edge_task(QuestionAnswering, model, (), {"start_logits": None, "end_logits": None})
    contexts = texts(family, 4, 50)
    questions = texts(1, 4, 8)
    options = {"n_best": 5, "max_answer_length": 6, "null_threshold": null_threshold}
    found = answer_questions(model, questions, contexts, batch_size=5, **options)
    for question, context, got in zip(questions, contexts, found, strict=True):
        expected = edge(question, context, **options)
        assert (got.answer, got.start, got.end) == (expected.answer, expected.start, expected.end)
        assert [tuple(answer[:3]) for answer in got.n_best] == [tuple(answer[:3]) for answer in expected.n_best]
        for mine, theirs in zip(got.n_best, expected.n_best, strict=True):
            assert mine[3:] == pytest.approx(theirs[3:], abs=1e-4)
            assert context[mine.start : mine.end] == mine.text != ""
        assert got.null_score_difference == pytest.approx(expected.null_score_difference, abs=1e-4)
        assert (got.score, got.truncated) == (pytest.approx(expected.score, abs=1e-4), expected.truncated)


def test_answers_of_a_model_of_more_positions_than_a_window_has_tokens(make_tiny):
    """512 positions, as BERT's: the windows are of 384 tokens on both sides."""
    model = make_tiny(kb.QuestionAnswerer, "bert", max_positions=512)
    edge = edge_task(QuestionAnswering, model, (), {"start_logits": None, "end_logits": None})
    context = " ".join(random.Random(1).choices([piece for piece in PIECES if piece.strip()], k=300))
    assert len(model.tokenizer.encode(context).token_ids) > 600
    (got,) = answer_questions(model, ["lives in New York?"], [context])
    expected = edge("lives in New York?", context)
    assert [answer[:3] for answer in got.n_best] == [answer[:3] for answer in expected.n_best]
    assert got.null_score_difference == pytest.approx(expected.null_score_difference, abs=1e-4)
    (cut,) = answer_questions(model, ["in " * 200], ["New York"])
    assert cut.truncated is edge("in " * 200, "New York").truncated is True
