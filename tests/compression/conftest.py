"""Trained models of the three tasks, tiny, and their data."""

import pathlib

import pytest
from command import run
from tiny import save_tiny_encoder, write_sentiment

import keras_bert as kb
from keras_bert.models.structure import keep_layers

DATA = pathlib.Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def sentiment(tmp_path_factory):
    """A labelled TSV that a word decides: 60 rows."""
    return write_sentiment(tmp_path_factory.mktemp("sentiment") / "train.tsv")


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """Directory of an encoder of 3 layers of 16, 4 heads."""
    return save_tiny_encoder(tmp_path_factory.mktemp("encoder"), num_layers=3, num_heads=4, initializer_range=0.2)


@pytest.fixture(scope="session")
def classifier(encoder, sentiment, tmp_path_factory):
    out = tmp_path_factory.mktemp("classifier") / "model"
    options = ("--epochs", 10, "--learning-rate", 5e-3, "--batch-size", 8, "--dropout", 0)
    assert run("finetune", encoder, "--train", sentiment, "--dev", sentiment, "-o", out, *options) == 0
    return out


@pytest.fixture(scope="session", params=["token_classification", "question_answering"])
def other_task(request, encoder, tmp_path_factory):
    """(model, data) of tagging and of answering."""
    data = DATA / {"token_classification": "ner.conll", "question_answering": "qa.json"}[request.param]
    out = tmp_path_factory.mktemp("other") / "model"
    options = ("--epochs", 1, "--learning-rate", 1e-2, "--batch-size", 8, "--max-length", 40)
    assert run("finetune", encoder, "--task", request.param, "--train", data, "--dev", data, "-o", out, *options) == 0
    return out, data


@pytest.fixture(scope="session")
def shallow(classifier, tmp_path_factory):
    """One layer: two plans of `compress` that train."""
    folder = tmp_path_factory.mktemp("shallow")
    keep_layers(kb.SequenceClassifier.from_pretrained(classifier), [2]).save_pretrained(folder)
    return folder
