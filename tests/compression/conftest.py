"""Trained models of the three tasks, tiny, and their data."""

import pathlib

import keras
import pytest
from keras_bert_tools import cli
from tiny import tiny_tokenizer

import keras_bert as kb

DATA = pathlib.Path(__file__).parents[1] / "data"


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def sentiment(tmp_path_factory):
    """A labelled TSV that a word decides: 60 rows."""
    good, bad = ("good", "great", "fine"), ("bad", "dull", "poor")
    rows = [
        f"the film was {'very ' * (i % 3)}{word} {'and a ' * (i % 5)}.\t{label}"
        for i in range(60)
        for label, word in [("pos", good[i % 3]) if i % 2 else ("neg", bad[i % 3])]
    ]
    path = tmp_path_factory.mktemp("sentiment") / "train.tsv"
    path.write_text("text\tlabel\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """Directory of an encoder of 3 layers of 16, 4 heads."""
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = tiny_tokenizer(folder)
    keras.utils.set_random_seed(1)
    config = kb.EncoderConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_layers=3,
        num_heads=4,
        intermediate_size=32,
        max_positions=48,
        initializer_range=0.2,
    )
    kb.Encoder(config).save_pretrained(folder, tokenizer=tokenizer)
    return folder


@pytest.fixture(scope="session")
def classifier(encoder, sentiment, tmp_path_factory):
    out = tmp_path_factory.mktemp("classifier") / "model"
    options = ("--epochs", 10, "--learning-rate", 1e-2, "--batch-size", 8, "--seed", 5)
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
