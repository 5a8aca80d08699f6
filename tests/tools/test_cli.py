"""The command as a user runs it: jobs, their results, and one line for every error."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from command import run

import keras_bert as kb
from keras_bert.data import predict_logits, read_labelled_texts


@pytest.fixture(scope="module")
def finetuned(checkpoint, table, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "model"
    options = ("--epochs", 12, "--learning-rate", 1e-2, "--batch-size", 8, "--seed", 5)
    assert run("finetune", checkpoint, "--train", table, "--dev", table, "--test", table, "-o", out, *options) == 0
    return out


def test_finetune_learns_and_reports(finetuned, table):
    report = json.loads((finetuned / "report.json").read_text())
    assert report["scores"]["test"]["accuracy"] > 0.95
    assert report["scores"]["dev"] == report["scores"]["test"]
    assert report["labels"] == ["neg", "pos"]
    assert report["examples"] == {"train": 60, "dev": 60, "test": 60}
    assert max(report["history"]["dev_accuracy"]) == report["history"]["dev_accuracy"][report["best_epoch"] - 1]
    assert json.loads((finetuned / "config.json").read_text())["id2label"] == {"0": "neg", "1": "pos"}
    model = kb.SequenceClassifier.from_pretrained(finetuned)
    data = read_labelled_texts(table)
    labels = [model.labels[i] for i in predict_logits(model, data.texts).argmax(-1)]
    assert sum(a == b for a, b in zip(labels, data.labels, strict=True)) > 57


def test_finetune_is_a_function_of_the_seed(finetuned, checkpoint, table, tmp_path):
    options = ("--epochs", 1, "--learning-rate", 1e-2, "--batch-size", 8)
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert run("finetune", checkpoint, "--train", table, "-o", tmp_path / name, "--seed", seed, *options) == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]


def test_evaluate_prints_the_scores(finetuned, table, capsys):
    assert run("evaluate", finetuned, "--data", table, "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores == json.loads((finetuned / "report.json").read_text())["scores"]["test"]


def test_predict(finetuned, tmp_path, capsys):
    assert run("predict", finetuned, "the film was great .", "the film was very bad .", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [max(row["scores"], key=row["scores"].get) for row in rows] == ["pos", "neg"]
    assert all(abs(sum(row["scores"].values()) - 1) < 1e-5 for row in rows)
    assert [row["truncated"] for row in rows] == [False, False]
    (tmp_path / "texts.txt").write_text(f"good\n \n{'bad ' * 100}\n")
    assert run("predict", finetuned, "--input", tmp_path / "texts.txt") == 0
    captured = capsys.readouterr()
    assert "texts.txt, line 2: nothing but blanks; left out" in captured.err
    lines = captured.out.splitlines()
    assert [line.endswith("(cut to 48 tokens)") for line in lines] == [False, True]


def test_lines_end_where_lines_end(finetuned, tmp_path, capsys):
    """Neither a line separator nor a form feed inside a text parts it, and a byte order mark is none of it."""
    (tmp_path / "t.txt").write_bytes("\ufeffgood\u2028film\r\nbad\x85film\x0c\r\n".encode())
    assert run("predict", finetuned, "--input", tmp_path / "t.txt", "--json") == 0
    texts = [json.loads(line)["text"] for line in capsys.readouterr().out.strip().split("\n")]
    assert texts == ["good\u2028film", "bad\x85film\x0c"]
    (tmp_path / "t.txt").write_text("one\n\ntwo\tthree\n")
    assert run("predict", finetuned, "--input", tmp_path / "t.txt") == 2
    assert "t.txt, line 3: expected one text, as in all lines, got 2" in capsys.readouterr().err


def test_data_that_the_model_cannot_be_scored_on_is_refused_first(finetuned, tmp_path, capsys, monkeypatch):
    (tmp_path / "t.tsv").write_text("text\tlabel\ngood\tpos\nbad\tother\n")
    monkeypatch.setattr(kb.SequenceClassifier, "predict_on_batch", None)  # nothing is predicted
    assert run("evaluate", finetuned, "--data", tmp_path / "t.tsv") == 2
    assert "t.tsv, line 3: unknown label 'other'; the model's labels are neg, pos" in capsys.readouterr().err
    assert run("evaluate", tmp_path / "m.tflite", "--data", tmp_path / "t.tsv", "--max-length", 9) == 2
    assert "--max-length is for checkpoints" in capsys.readouterr().err


def test_regression(checkpoint, tmp_path, capsys):
    rows = "".join(f"{'good ' * (i % 5)}film\t{i % 5 / 4}\n" for i in range(40))
    (tmp_path / "r.tsv").write_text("text\tlabel\n" + rows)
    data = ("--train", tmp_path / "r.tsv", "--hold-out", 0, "--regression", "-o", tmp_path / "out")
    assert run("finetune", checkpoint, *data, "--epochs", 15, "--learning-rate", 1e-2, "--batch-size", 8) == 0
    capsys.readouterr()
    assert run("evaluate", tmp_path / "out", "--data", tmp_path / "r.tsv", "--json") == 0
    assert json.loads(capsys.readouterr().out)["pearson"] > 0.8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\tlabel\nfine\n", "line 2: expected 2 columns"),
        ("text\tlabel\nfine\tx\n\ty\n", "line 3: the text is empty"),
        ("text\tlabel\nfine\tx\nbad\tx\n", "has one label only, 'x'"),
        ("text\tclass\nfine\tx\n", "no label column 'label'"),
    ],
)
def test_bad_training_files(checkpoint, tmp_path, capsys, content, message):
    (tmp_path / "train.tsv").write_text(content)
    assert run("finetune", checkpoint, "--train", tmp_path / "train.tsv", "-o", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_unknown_label_in_test_set(finetuned, tmp_path, capsys):
    (tmp_path / "t.tsv").write_text("text\tlabel\nfine\tpos\nodd\tneutral\n")
    assert run("evaluate", finetuned, "--data", tmp_path / "t.tsv") == 2
    assert "t.tsv, line 3: unknown label 'neutral'; the model's labels are neg, pos" in capsys.readouterr().err


def test_an_encoder_is_no_classifier(checkpoint, table, capsys):
    assert run("evaluate", checkpoint, "--data", table) == 2
    assert "is not a classifier: it holds no" in capsys.readouterr().err


def test_the_command_itself(tmp_path):
    """A process of its own: exit status, one line, no traceback, no chatter of TensorFlow."""
    command = [sys.executable, "-m", "keras_bert_tools"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def call(*arguments):
        return subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment, cwd=tmp_path)

    missing = call("predict", "nowhere", "text")
    assert missing.returncode == 2
    assert missing.stderr == "error: nowhere is not a directory; expected one with a checkpoint\n"
    unknown = call("paint")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("error: no job 'paint'; expected one of pretrain, finetune, ")
    assert "usage: keras-bert JOB" in call().stdout
    assert "example:" in call("finetune", "--help").stdout
    assert not list(pathlib.Path(tmp_path).iterdir())
