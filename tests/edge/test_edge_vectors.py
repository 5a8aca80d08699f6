"""The runner against tests/vectors/vectors.json, on whichever runtime is installed; the library is held to the same."""

import json
import pathlib

import keras_bert_edge
import numpy as np
import pytest
from keras_bert_edge import EdgeError
from keras_bert_edge.runtime import find_runtime

FOLDER = pathlib.Path(__file__).parents[1] / "vectors"
VECTORS = json.loads((FOLDER / "vectors.json").read_text(encoding="utf-8"))
OLD_RUNTIME = find_runtime()[0] == "tflite-runtime"


def load(name, **options):
    return keras_bert_edge.load(FOLDER / f"{name}.tflite", **options)


@pytest.mark.parametrize("name", ["classification", "pairs"])
def test_classification(name):
    model = load(name)
    for row in VECTORS[name]:
        result = model(row["text"], row["pair"])
        np.testing.assert_allclose(list(result.scores.values()), row["scores"], atol=1e-4)
        assert result.label == model.labels[int(np.argmax(row["scores"]))]
        assert model.tokenizer.encode(row["text"], row["pair"]).ids == row["token_ids"]


def test_entities():
    model = load("entities")
    for row in VECTORS["entities"]:
        result = model(row["text"])
        assert [list(word[:4]) for word in result.words] == row["words"]
        assert [list(entity[:4]) for entity in result.entities] == row["entities"]
        np.testing.assert_allclose([word.score for word in result.words], row["scores"], atol=1e-4)


def test_answers_windows_and_null_threshold_included():
    model = load("answers")
    assert any(len(row["context"]) > 400 for row in VECTORS["answers"]), "no context needs windows"
    for row in VECTORS["answers"]:
        options = {"n_best": 5, "max_answer_length": 6, "null_threshold": row["null_threshold"]}
        result = model(row["question"], row["context"], **options)
        assert [result.answer, result.start, result.end] == row["answer"]
        assert [list(answer[:3]) for answer in result.n_best] == row["n_best"]
        assert result.score == pytest.approx(row["score"], abs=1e-4)
        assert result.null_score_difference == pytest.approx(row["null_score_difference"], abs=1e-4)


def test_embeddings():
    model = load("embeddings")
    for row in VECTORS["embeddings"]:
        np.testing.assert_allclose(model(row["text"]).vector, row["vector"], atol=1e-4)


def test_fills():
    model = load("fills")
    for row in VECTORS["fills"]:
        for got, expected in zip(model(row["text"], top_k=3).fills, row["fills"]):
            assert [fill.token_id for fill in got] == [index for index, _ in expected]
            np.testing.assert_allclose([fill.score for fill in got], [score for _, score in expected], atol=1e-4)


@pytest.mark.parametrize("profile", ["default", "compatible"])
def test_int8_stays_near_float(profile):
    if OLD_RUNTIME and profile == "default":
        pytest.skip("tflite-runtime lacks its operators; see the next test")
    model = load(f"int8_{profile}")
    for row in VECTORS["classification"]:
        np.testing.assert_allclose(list(model(row["text"]).scores.values()), row["scores"], atol=0.05)


@pytest.mark.skipif(not OLD_RUNTIME, reason="a pairing of tflite-runtime")
def test_wrong_pairings_with_tflite_runtime_are_refused():
    with pytest.raises(EdgeError, match=r"needs newer operations.*--profile compatible"):
        load("int8_default")
    with pytest.raises(EdgeError, match=r"computes .* wrongly.*--profile compatible"):
        load("int8_mislabelled")


def test_a_runtime_that_answers_otherwise_is_refused(tmp_path):
    """The known answer of a file, changed: for the runner it is as if the runtime computed something else."""
    import tflite_file

    model, members = tflite_file.split((FOLDER / "classification.tflite").read_bytes())
    config = json.loads(members["config.json"])
    path = tmp_path / "model.tflite"
    for factor, refused in ((1.0, False), (1.005, False), (1.1, True), (-1.0, True)):
        outputs = {name: [factor * value for value in row] for name, row in config["known_answer"]["outputs"].items()}
        changed = {**config, "known_answer": {**config["known_answer"], "outputs": outputs}}
        path.write_bytes(tflite_file.write(model, {**members, "config.json": json.dumps(changed).encode()}))
        if refused:
            with pytest.raises(EdgeError, match=r"computes .* wrongly"):
                keras_bert_edge.load(path)
        else:
            keras_bert_edge.load(path)


def test_workers_give_the_same_answers_in_order():
    model, alone = load("pairs", workers=2), load("pairs")
    items = [(row["text"], row["pair"]) for row in VECTORS["pairs"]] * 5
    expected = [row["scores"] for row in VECTORS["pairs"]] * 5
    for _ in range(5):
        for results in (model(items), alone(items)):
            np.testing.assert_allclose([list(result.scores.values()) for result in results], expected, atol=1e-5)
    with pytest.raises(EdgeError, match="must be a string"):
        model([*items, 3])
    with pytest.raises(EdgeError, match="workers must be an integer"):
        load("pairs", workers=0)
