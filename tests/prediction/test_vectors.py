"""The library against tests/vectors/vectors.json, which keras-bert-edge and its page are held to as well."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

import keras_bert as kb
from keras_bert.data import predict_logits
from keras_bert.data.predict import probabilities
from keras_bert.prediction import answer_questions, find_entities

FOLDER = pathlib.Path(__file__).parents[1] / "vectors"
VECTORS = json.loads((FOLDER / "vectors.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["classification", "pairs"])
def test_classification(name):
    model, rows = kb.SequenceClassifier.from_pretrained(FOLDER / name), VECTORS[name]
    texts, pairs = ([row[key] for row in rows] for key in ("text", "pair"))
    scores = probabilities(predict_logits(model, texts, pairs if name == "pairs" else None), model.problem_type)
    np.testing.assert_allclose(scores, [row["scores"] for row in rows], atol=1e-5)
    limit = model.config.max_positions
    assert [list(model.tokenizer.encode(r["text"], r["pair"], max_length=limit).token_ids) for r in rows] == [
        row["token_ids"] for row in rows
    ]


def test_entities():
    model, rows = kb.TokenClassifier.from_pretrained(FOLDER / "entities"), VECTORS["entities"]
    for row, found in zip(rows, find_entities(model, [row["text"] for row in rows]), strict=True):
        assert [list(word[:4]) for word in found.words] == row["words"]
        assert [list(entity[:4]) for entity in found.entities] == row["entities"]
        np.testing.assert_allclose([word.score for word in found.words], row["scores"], atol=1e-5)


@pytest.mark.parametrize("threshold", [None, 0.0])
def test_answers(threshold):
    model = kb.QuestionAnswerer.from_pretrained(FOLDER / "answers")
    rows = [row for row in VECTORS["answers"] if row["null_threshold"] == threshold]
    questions, contexts = ([row[key] for row in rows] for key in ("question", "context"))
    options = {"n_best": 5, "max_answer_length": 6, "null_threshold": threshold}
    for row, found in zip(rows, answer_questions(model, questions, contexts, **options), strict=True):
        assert [found.answer, found.start, found.end] == row["answer"]
        assert [list(answer[:3]) for answer in found.n_best] == row["n_best"]
        assert found.score == pytest.approx(row["score"], abs=1e-5)
        assert found.null_score_difference == pytest.approx(row["null_score_difference"], abs=1e-4)


def test_embeddings():
    model, rows = kb.SentenceEncoder.from_pretrained(FOLDER / "embeddings"), VECTORS["embeddings"]
    np.testing.assert_allclose(
        predict_logits(model, [row["text"] for row in rows]), [row["vector"] for row in rows], atol=1e-5
    )


def test_fills():
    model = kb.MaskedLanguageModel.from_pretrained(FOLDER / "fills")
    for row in VECTORS["fills"]:
        token_ids = list(model.tokenizer.encode(row["text"], max_length=model.config.max_positions).token_ids)
        logits = np.asarray(model({"token_ids": np.array([token_ids], "int32")}), np.float64)[0]
        scores = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        masks = [at for at, token in enumerate(token_ids) if token == model.tokenizer.mask_id]
        for at, fills in zip(masks, row["fills"], strict=True):
            np.testing.assert_allclose([scores[at][index] for index, _ in fills], [p for _, p in fills], atol=1e-5)
            assert scores[at].argmax() == fills[0][0]
