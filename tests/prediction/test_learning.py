"""From files to answers: a tiny model learns the classic examples by heart, in plain Keras."""

from __future__ import annotations

import pathlib

import keras
import pytest

import keras_bert as kb
from keras_bert.prediction import answer_questions, find_entities, tag_words

DATA = pathlib.Path(__file__).parents[1] / "data"
SIZES = {
    "hidden_size": 32,
    "num_layers": 1,
    "max_positions": 128,
    "initializer_range": 0.1,
    **dict.fromkeys(("hidden_dropout", "attention_dropout", "classifier_dropout"), 0.0),
}


@pytest.mark.tensorflow_only
def test_john_lives_in_new_york(make_tiny):
    sentences = kb.data.read_tagged_sentences(DATA / "ner.conll").subset(range(8))
    labels = sentences.label_names()
    model = make_tiny(kb.TokenClassifier, "bert", labels, **SIZES)
    model.compile(keras.optimizers.Adam(1e-2))
    dataset = kb.data.token_classification(sentences, model.tokenizer, labels=labels, batch_size=8)
    model.fit(dataset, epochs=30, verbose=0)
    words = [sentence.words for sentence in sentences.sentences]
    predictions = tag_words(model, words)
    assert kb.metrics.entity_scores([s.tags for s in sentences.sentences], predictions).micro.f1 == 1
    assert tag_words(model, [["John", "lives", "in", "New", "York"]]) == [["B-PER", "O", "O", "B-LOC", "I-LOC"]]
    (result,) = find_entities(model, ["John lives in\r\n\tNew  York."])
    assert [entity[:4] for entity in result.entities] == [("PER", "John", 0, 4), ("LOC", "New  York", 16, 25)]


@pytest.mark.tensorflow_only
def test_what_is_the_capital_of_france(make_tiny):
    questions = kb.data.read_questions(DATA / "qa.json").subset(range(6))
    model = make_tiny(kb.QuestionAnswerer, "bert", **SIZES)
    model.compile(keras.optimizers.Adam(1e-2))
    dataset = kb.data.question_answering(questions, model.tokenizer, batch_size=8, config=model.config)
    model.fit(dataset, epochs=20, verbose=0)
    found = answer_questions(model, [q.question for q in questions.questions], [q.context for q in questions.questions])
    answers = [result.answer for result in found]
    assert questions.questions[0].question == "What is the capital of France?"
    assert answers[0] == "Paris"
    assert kb.metrics.squad_scores(questions.answer_texts(), answers).exact_match == 100
