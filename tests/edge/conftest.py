"""Shared by the tests of keras-bert-edge, which run where that distribution is installed, without TensorFlow."""

import importlib.util

import pytest
from tflite_file import FIXTURES

# Elsewhere these tests have nothing to run on; `tox -e edge` is their environment.
collect_ignore_glob = [] if importlib.util.find_spec("keras_bert_edge") else ["test_*.py"]


@pytest.fixture(scope="session")
def open_model():
    """Opens a fixture by name, once a session."""
    import keras_bert_edge

    models = {}

    def opened(name):
        if name not in models:
            models[name] = keras_bert_edge.load(FIXTURES / f"{name}.tflite")
        return models[name]

    return opened


@pytest.fixture
def write_file(tmp_path):
    """Writes bytes to a new file; returns its path."""

    def written(content):
        path = tmp_path / "model.tflite"
        path.write_bytes(content)
        return path

    return written
