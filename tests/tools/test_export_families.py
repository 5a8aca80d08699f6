"""Every family on the device: text in, the Keras model's answer out, through its own tokenizer."""

from __future__ import annotations

import pathlib

import keras
import keras_bert_edge
import numpy as np
import pytest
from harness import TINY, randomize
from keras_bert_tools import cli

import keras_bert as kb
from keras_bert.data import predict_logits, probabilities

TOKENIZERS = pathlib.Path(__file__).parents[1] / "tokenizers" / "data"
KINDS = {
    "bert": "wordpiece-uncased",
    "distilbert": "wordpiece-cased",
    "roberta": "bpe",
    "albert": "unigram",
    "albert-groups": "unigram",
}
TEXTS = ["The ferry was late, again!", "naïve café — 東京 🙂", "", "don't stop [MASK] <mask>", "word " * 90]


def classifier(name: str, folder: pathlib.Path, **changes: object) -> kb.SequenceClassifier:
    """A saved classifier of random weights with a tokenizer of its family."""
    keras.utils.set_random_seed(2)
    tokenizer = kb.Tokenizer.from_pretrained(TOKENIZERS / KINDS[name])
    config = TINY[name].replace(
        vocab_size=tokenizer.vocab_size, pad_token_id=tokenizer.pad_id, max_positions=64, **changes
    )
    model = kb.SequenceClassifier(kb.Encoder(config), ["no", "yes", "maybe"], tokenizer=tokenizer)
    randomize(model)
    model.save_pretrained(folder)
    return model


def export(folder: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    assert cli.main(["export", str(folder), "-o", str(path), "--recipe", "float32"]) == 0
    return path


@pytest.mark.parametrize("name", KINDS)
def test_text_to_label_as_in_keras(name: str, tmp_path: pathlib.Path) -> None:
    model = classifier(name, tmp_path / "model")
    runner = keras_bert_edge.load(str(export(tmp_path / "model", tmp_path / "model.tflite")))
    expected = probabilities(predict_logits(model, TEXTS))
    results = runner(TEXTS)
    got = np.array([[result.scores[label] for label in model.labels] for result in results])
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert [result.truncated for result in results] == [False, False, False, False, True]
