"""`keras-bert export --format saved_model`: what a server gets, against Keras on the host tokenizer's ids."""

from __future__ import annotations

import functools
import json
import pathlib
import subprocess
import sys
from typing import Any

import command
import numpy as np
import pytest
from harness import TINY, randomize
from keras_bert_tools.saved_model import export_saved_model

import keras_bert as kb
from keras_bert.errors import ExportError

pytestmark = pytest.mark.tensorflow_only
tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")

DATA = pathlib.Path(__file__).parent.parent / "tokenizers" / "data"
TOKENIZERS = {"bert": "wordpiece-uncased", "distilbert": "wordpiece-uncased", "albert": "unigram", "roberta": "bpe"}
TEXTS = ["The ferry left the bridge.", "", "No [MASK] at all, naïve 中国! " * 9]
PAIRS = ["who was it?", "the ferry, they said", "again " * 30]
LABELS = ["bad", "so so", "gut, ähm"]


def save(folder: pathlib.Path, family: str = "bert", task: Any = kb.SequenceClassifier, **options: Any) -> Any:
    """A checkpoint with a tokenizer and a random value in every weight."""
    tokenizer = kb.Tokenizer.from_pretrained(DATA / TOKENIZERS[family])
    config = TINY[family].replace(vocab_size=tokenizer.vocab_size, max_positions=24)
    model = task(kb.Encoder(config), tokenizer=tokenizer, **options)
    randomize(model)
    model.save_pretrained(folder)
    return model


run = functools.partial(command.run, "export")


def host_outputs(model: Any, *texts: list[str], max_length: int = 24) -> tuple[dict, dict]:
    features = model.tokenizer(*texts, max_length=max_length)
    names = ["token_ids", "padding_mask", *(["segment_ids"] if model.config.uses_segments else [])]
    outputs = model.predict_on_batch({name: features[name] for name in names})
    return features, outputs if isinstance(outputs, dict) else {"output": outputs}


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def close(got: Any, expected: np.ndarray) -> None:
    np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-4, atol=1e-5 * max(1, np.abs(expected).max()))


SERVER = """
import json, sys
import tensorflow as tf, tensorflow_text
loaded = tf.saved_model.load(sys.argv[1])
outputs = loaded.signatures["serving_default"](text=tf.constant(json.loads(sys.argv[2])))
print(json.dumps({"label": [label.decode() for label in outputs["label"].numpy()],
                  "probabilities": outputs["probabilities"].numpy().tolist(),
                  "ours": [name for name in sys.modules if name.startswith("keras_bert")]}))
"""


def test_serves_strings_without_us(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save(tmp_path / "model", labels=LABELS)
    target = tmp_path / "served" / "1"
    assert run(tmp_path / "model", "-o", target, "--format", "saved_model", "--text-input", "--max-length", 12) == 0
    process = subprocess.run(
        [sys.executable, "-c", SERVER, str(target), json.dumps(TEXTS)], capture_output=True, text=True, check=True
    )
    answer = json.loads(process.stdout)
    assert answer["ours"] == []
    _, outputs = host_outputs(model, TEXTS, max_length=12)
    close(answer["probabilities"], softmax(outputs["output"]))
    assert answer["label"] == [LABELS[index] for index in outputs["output"].argmax(-1)]
    assert (target / "assets" / "labels.txt").read_text(encoding="utf-8").splitlines() == LABELS
    tokenizer = kb.Tokenizer.from_json((target / "assets" / "tokenizer.json").read_text(encoding="utf-8"))
    assert tokenizer.encode(TEXTS[0]).token_ids == model.tokenizer.encode(TEXTS[0]).token_ids
    report = json.loads((tmp_path / "served" / "1.report.json").read_text())
    assert (report["inputs"], report["outputs"]) == (["text"], ["label", "logits", "probabilities"])
    assert (report["max_length"], report["tokenized_differently"]) == (12, [])
    assert report["max_difference"] < 1e-5 < report["texts"]
    assert sorted(path.name for path in (tmp_path / "served").iterdir()) == ["1", "1.report.json"]
    assert "text -> label, logits, probabilities" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("family", "task", "pairs", "renamed"),
    [
        ("albert", kb.SequenceClassifier, True, {"output": "logits"}),
        ("distilbert", kb.TokenClassifier, False, {"output": "logits"}),
        ("bert", kb.QuestionAnswerer, False, {}),
        ("albert", kb.SentenceEncoder, False, {"output": "embedding"}),
        ("bert", kb.MaskedLanguageModel, False, {"output": "logits"}),
    ],
)
def test_strings_for_every_task(tmp_path: pathlib.Path, family: str, task: Any, pairs: bool, renamed: dict) -> None:
    model = save(tmp_path / "model", family, task)
    options = ["--pairs"] if pairs else []
    assert run(tmp_path / "model", "-o", tmp_path / "out", "--format", "saved_model", "--text-input", *options) == 0
    signature = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"]
    columns = [TEXTS, PAIRS] if pairs or task is kb.QuestionAnswerer else [TEXTS]
    got = signature(**{name: tf.constant(column) for name, column in zip(("text", "pair"), columns, strict=False)})
    features, outputs = host_outputs(model, *columns)
    per_token = task in (kb.TokenClassifier, kb.QuestionAnswerer, kb.MaskedLanguageModel)
    for name, expected in outputs.items():
        close(got[renamed.get(name, name)], expected)
    for name in features if per_token else ():
        np.testing.assert_array_equal(got[name], features[name])


@pytest.mark.parametrize("family", TOKENIZERS)
def test_ids_for_every_family(tmp_path: pathlib.Path, family: str) -> None:
    model = save(tmp_path / "model", family)
    assert run(tmp_path / "model", "-o", tmp_path / "out", "--format", "saved_model") == 0
    signature = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"]
    features, outputs = host_outputs(model, TEXTS)
    inputs = signature.structured_input_signature[1]
    assert ("segment_ids" in inputs) == model.config.uses_segments
    close(signature(**{name: tf.constant(features[name]) for name in inputs})["logits"], outputs["output"])


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        ("multi_label_classification", {"logits": lambda x: x, "probabilities": lambda x: 1 / (1 + np.exp(-x))}),
        ("regression", {"logits": lambda x: x}),
    ],
)
def test_outputs_of_the_problem_type(tmp_path: pathlib.Path, problem: str, expected: dict) -> None:
    model = save(tmp_path / "model", labels=1 if problem == "regression" else 3, problem_type=problem)
    assert run(tmp_path / "model", "-o", tmp_path / "out", "--format", "saved_model", "--text-input") == 0
    got = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"](text=tf.constant(TEXTS))
    assert sorted(got) == sorted(expected)
    logits = host_outputs(model, TEXTS)[1]["output"]
    for name, function in expected.items():
        close(got[name], function(logits))


def test_texts_that_the_graph_reads_otherwise_are_reported(tmp_path: pathlib.Path) -> None:
    save(tmp_path / "model", "albert")
    (tmp_path / "texts.txt").write_text("the ferry\n＜ｕｎｋ＞\n", encoding="utf-8")
    options = ["--format", "saved_model", "--text-input", "--texts", tmp_path / "texts.txt"]
    assert run(tmp_path / "model", "-o", tmp_path / "out", *options) == 0
    assert json.loads((tmp_path / "out.report.json").read_text())["tokenized_differently"] == ["＜ｕｎｋ＞"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "saved_model", "--recipe", "float16"], "--recipe is no option of --format saved_model"),
        (["--format", "saved_model", "--lengths", "16"], "--lengths is no option of --format saved_model"),
        (["--text-input"], "--text-input is no option of --format tflite"),
        (["--format", "saved_model", "--pairs"], "settings of text input"),
        (["--format", "saved_model", "--text-input", "--max-length", "25"], "max_length 25: expected 1 to 24"),
        (["--format", "saved_model", "--text-input", "--max-length", "1"], "max_length 1 leaves no room"),
    ],
)
def test_options_that_do_not_fit(tmp_path: pathlib.Path, capsys: Any, options: list[str], message: str) -> None:
    save(tmp_path / "model")
    assert run(tmp_path / "model", "-o", tmp_path / "out", *options) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_byte_level_bpe_cannot_take_strings(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "model", "roberta")
    assert run(tmp_path / "model", "-o", tmp_path / "out", "--format", "saved_model", "--text-input") == 2
    assert "byte-level BPE (RoBERTa) cannot run in the graph" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_with_content_is_left_alone(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "model")
    before = sorted(tmp_path.rglob("*"))
    assert run(tmp_path / "model", "-o", tmp_path / "model", "--format", "saved_model") == 2
    assert "exists and is not an empty folder" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "model", "-o", tmp_path / "empty", "--format", "saved_model") == 0
    assert (tmp_path / "empty" / "saved_model.pb").exists()


def test_nothing_is_left_of_a_model_that_fails_its_check(tmp_path: pathlib.Path) -> None:
    model = save(tmp_path / "model")
    model.head.classifier.bias.assign([np.nan, 0.0])
    with pytest.raises(ExportError, match="logits holds NaN"):
        export_saved_model(model, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
