"""The mediapipe profile: the form of the file, and MediaPipe itself on it where it is installed."""

import keras
import numpy as np
import pytest
from command import run
from exporting import TEXTS, bare_outputs, encoded, save


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    return folder, save(folder)


def test_mediapipe_profile(classifier, tmp_path):
    folder, model = classifier
    path = tmp_path / "model.tflite"
    assert run("export", folder, "-o", path, "--recipe", "float32", "--profile", "mediapipe", "--lengths", 24) == 0
    inputs = encoded(model, TEXTS[0])
    used = inputs["token_ids"].shape[1]
    padded = {
        "ids": np.pad(inputs["token_ids"], ((0, 0), (0, 24 - used))),
        "mask": (np.arange(24)[None] < used).astype("int32"),
        "segment_ids": np.zeros((1, 24), "int32"),
    }
    got = bare_outputs(path, padded)["probability"]
    np.testing.assert_allclose(got, keras.ops.softmax(keras.ops.convert_to_numpy(model(inputs))), atol=1e-6)


def test_mediapipe_gives_a_model_without_segments_a_third_input(tmp_path):
    model = save(tmp_path / "m", "distilbert", num_segments=0, pooler=False)
    path = tmp_path / "model.tflite"
    assert run("export", tmp_path / "m", "-o", path, "--recipe", "float32", "--profile", "mediapipe") == 0
    token_ids = encoded(model, TEXTS[0])["token_ids"]
    used = token_ids.shape[1]
    padded = {
        "ids": np.pad(token_ids, ((0, 0), (0, 40 - used))),
        "mask": (np.arange(40)[None] < used).astype("int32"),
        "segment_ids": np.ones((1, 40), "int32"),  # ignored
    }
    expected = keras.ops.softmax(keras.ops.convert_to_numpy(model({"token_ids": token_ids})))
    np.testing.assert_allclose(bare_outputs(path, padded)["probability"], expected, atol=1e-6)


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_mediapipe_gives_the_same_scores(tmp_path, family):
    """Where MediaPipe is installed: its own tokenizer and runtime on the exported file."""
    text_tasks = pytest.importorskip("mediapipe.tasks.python.text")
    base = pytest.importorskip("mediapipe.tasks.python.core.base_options")
    model = save(tmp_path / "m", family, **({} if family == "bert" else {"num_segments": 0, "pooler": False}))
    path = tmp_path / "model.tflite"
    assert run("export", tmp_path / "m", "-o", path, "--recipe", "float32", "--profile", "mediapipe") == 0
    options = text_tasks.TextClassifierOptions(base_options=base.BaseOptions(model_asset_path=str(path)))
    with text_tasks.TextClassifier.create_from_options(options) as classifier:
        for text in TEXTS:
            found = {c.category_name: c.score for c in classifier.classify(text).classifications[0].categories}
            token_ids = {"token_ids": encoded(model, text)["token_ids"]}
            expected = keras.ops.convert_to_numpy(keras.ops.softmax(model(token_ids)))[0]
            assert found == pytest.approx(dict(zip(model.labels, expected, strict=True)), abs=1e-5)


def test_mediapipe_gives_the_same_vectors(tmp_path):
    text_tasks = pytest.importorskip("mediapipe.tasks.python.text")
    base = pytest.importorskip("mediapipe.tasks.python.core.base_options")
    model = save(tmp_path / "m", task="embedding")
    path = tmp_path / "model.tflite"
    task = ("--task", "sentence_embedding")
    assert run("export", tmp_path / "m", "-o", path, "--recipe", "float32", "--profile", "mediapipe", *task) == 0
    options = text_tasks.TextEmbedderOptions(base_options=base.BaseOptions(model_asset_path=str(path)))
    with text_tasks.TextEmbedder.create_from_options(options) as embedder:
        for text in TEXTS:
            found = embedder.embed(text).embeddings[0].embedding
            np.testing.assert_allclose(found, keras.ops.convert_to_numpy(model(encoded(model, text)))[0], atol=1e-5)
