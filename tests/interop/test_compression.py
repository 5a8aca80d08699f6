"""`transformers` opens what the compression tools make of a model, and computes the same."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command import run
from harness import randomize
from tiny import save_tiny_encoder, write_sentiment

import keras_bert as kb
from keras_bert.data import predict_logits

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXTS = ["the film was good", "a dull, sad film of poor an"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_sentiment(tmp_path_factory.mktemp("sentiment") / "train.tsv")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A classifier of two layers with a random value in every weight."""
    folder = save_tiny_encoder(tmp_path_factory.mktemp("teacher"), num_layers=2, num_heads=4)
    model = kb.SequenceClassifier.from_pretrained(folder, labels=["neg", "pos"])
    randomize(model)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ("prune", "--layers", "1", "--feedforward", 12, "--vocabulary", "corpus", "--epochs", 0),
        ("distill", "--layers", "1", "--epochs", 1, "--batch-size", 20),
    ],
    ids=["prune", "distill"],
)
def test_transformers_opens_smaller_models(command, teacher, table, tmp_path):
    job, *options = command
    assert run(job, teacher, *options, "--train", table, "--dev", table, "-o", tmp_path) == 0
    ours = kb.SequenceClassifier.from_pretrained(tmp_path)
    assert ours.count_params() < kb.SequenceClassifier.from_pretrained(teacher).count_params()
    reference, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(info[kind] for kind in ("unexpected_keys", "missing_keys", "mismatched_keys"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = reference.eval()(**inputs).logits.numpy()
    np.testing.assert_allclose(predict_logits(ours, TEXTS), logits, atol=1e-5)
    assert reference.config.id2label == {0: "neg", 1: "pos"}


@pytest.mark.parametrize(
    ("options", "key"),
    [(("--heads", 3), "head_size"), (("--feedforward", 10, "--allocation", "global"), "intermediate_sizes")],
)
def test_transformers_refuses_what_its_format_cannot_express(options, key, teacher, table, tmp_path):
    """As the card says: a model that lost heads, or not equally many units in each layer."""
    assert run("prune", teacher, *options, "--epochs", 0, "--train", table, "-o", tmp_path) == 0
    assert key in json.loads((tmp_path / "config.json").read_text())
    with pytest.raises((ValueError, RuntimeError)):
        transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert "refuses the checkpoint" in (tmp_path / "README.md").read_text()
