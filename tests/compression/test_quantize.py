"""`keras-bert quantize` as a user runs it, and what it refuses."""

import json
import pathlib
import shutil

import keras_bert_edge
import numpy as np
import pytest
from command import run
from tiny import save_random

import keras_bert as kb
from keras_bert.data import predict_logits, probabilities, read_labelled_texts

DATA = pathlib.Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    labels = ["neg", "pos"]
    return save_random(
        tmp_path_factory.mktemp("classifier"),
        lambda encoder, tokenizer: kb.SequenceClassifier(encoder, labels, tokenizer=tokenizer),
    )


def chances(path, table):
    """What the file says of each text, [texts, labels]."""
    runner = keras_bert_edge.load(str(path))
    results = runner(read_labelled_texts(table).texts)
    return np.array([[result.scores[label] for label in runner.labels] for result in results])


def write_close_calls(path, checkpoint):
    """A labelled TSV of texts that the float model is least sure of, with its own labels."""
    model, generator = kb.SequenceClassifier.from_pretrained(checkpoint), np.random.default_rng(5)
    words = ["a", "bad", "dull", "film", "fine", "good", "great", "poor", "sad", "very", "was"]
    texts = [" ".join(generator.choice(words, 8)) for _ in range(400)]
    logits = predict_logits(model, texts)
    margins = logits[:, 1] - logits[:, 0]
    chosen = np.argsort(np.abs(margins))[:40]
    rows = [f"{texts[i]}\t{model.labels[int(margins[i] > 0)]}" for i in chosen]
    path.write_text("\n".join(["text\tlabel", *rows]) + "\n")
    return path


def test_int4_file_and_table(untrained, sentiment, tmp_path, capsys):
    out = tmp_path / "small.tflite"
    assert run("quantize", untrained, "-o", out, "--recipe", "int4", "--calibration", sentiment) == 0
    report = json.loads((tmp_path / "small.report.json").read_text())
    assert (report["recipe"], report["calibration"]["texts"]) == ("int4", 60)
    errors = {each["name"]: each for each in report["layers"]}
    assert len(errors) == 6 + 2 + 2  # matrices of the block, of the head, tables
    assert errors["blocks.0.attention.query"]["kind"] == "int4"
    assert errors["head.classifier"]["kind"] == errors["embeddings.token_table"]["kind"] == "int8"
    assert report["error"] > max(each["error"] for each in report["layers"]) / 3
    assert report["file_size"] == out.stat().st_size
    shown = capsys.readouterr().out
    assert "all together" in shown
    assert report["layers"][0]["name"] in shown
    model = kb.SequenceClassifier.from_pretrained(untrained)
    expected = probabilities(predict_logits(model, read_labelled_texts(sentiment).texts))
    got = chances(out, sentiment)
    assert np.abs(got - expected).mean() < 0.05
    assert np.corrcoef(got[:, 0], expected[:, 0])[0, 1] > 0.95


def test_mixed_keeps_what_the_budget_asks_for(untrained, sentiment, tmp_path):
    reports, budget = [], 0.5
    for name in ("wide", "narrow"):
        out = tmp_path / f"{name}.tflite"
        command = ("quantize", untrained, "-o", out, "--recipe", "mixed", "--calibration", sentiment)
        assert run(*command, "--budget", budget) == 0
        reports.append(json.loads(out.with_suffix(".report.json").read_text()))
        assert reports[-1]["error"] <= budget
        budget = 0.7 * reports[-1]["error"]
    wide, narrow = (set(report["kept_int8"]) for report in reports)
    assert wide == set()
    worst = [each["name"] for each in reports[1]["layers"] if each["kind"].startswith("int4")]
    assert narrow == set(worst[: len(narrow)])
    assert 0 < len(narrow) < len(worst)


def test_training_for_integers(classifier, sentiment, tmp_path, capsys):
    """The checkpoint keeps its ranges: quantised again it gives the same file; as float it is an ordinary one."""
    out = tmp_path / "static.tflite"
    data = ("--train", sentiment, "--dev", sentiment, "--test", sentiment)
    command = ("quantize", classifier, "-o", out, "--recipe", "static_int8", "--qat", *data)
    assert run(*command, "--epochs", 1, "--batch-size", 15, "--learning-rate", 1e-2) == 0
    report = json.loads((tmp_path / "static.report.json").read_text())
    assert report["trained_ranges"]
    assert report["trained"]["scores"]["accuracy"] == report["scores"]["file"]["accuracy"]
    assert (tmp_path / "static" / "quantization.safetensors").exists()
    again = tmp_path / "again.tflite"
    close = write_close_calls(tmp_path / "close.tsv", tmp_path / "static")
    command = ("quantize", tmp_path / "static", "-o", again, "--recipe", "static_int8", "--calibration", sentiment)
    assert run(*command, "--test", close) == 0
    scores = json.loads((tmp_path / "again.report.json").read_text())["scores"]
    assert scores["before"]["accuracy"] == 1.0  # of the float model, which gave the labels
    assert scores["file"]["accuracy"] < 1.0
    layers = [
        {each["name"]: each["weights"] for each in json.loads(path.with_suffix(".report.json").read_text())["layers"]}
        for path in (out, again)
    ]
    assert layers[0] == layers[1]
    np.testing.assert_array_equal(chances(out, sentiment), chances(again, sentiment))
    assert run("quantize", tmp_path / "static", "-o", again, "--recipe", "int4", "--calibration", sentiment) == 2
    assert "was trained for static_int8, not for int4" in capsys.readouterr().err
    assert run("quantize", tmp_path / "static", "-o", tmp_path / "half.tflite", "--recipe", "float16") == 0


@pytest.mark.parametrize("task", ["token_classification", "question_answering"])
def test_tagging_and_answering(task, tmp_path):
    data = DATA / {"token_classification": "ner.conll", "question_answering": "qa.json"}[task]
    if task == "question_answering":
        make = lambda encoder, tokenizer: kb.QuestionAnswerer(encoder, tokenizer=tokenizer)  # noqa: E731
    else:
        lines = data.read_text(encoding="utf-8").splitlines()
        tags = sorted({line.split()[-1] for line in lines if line.strip()})
        make = lambda encoder, tokenizer: kb.TokenClassifier(encoder, tags, tokenizer=tokenizer)  # noqa: E731
    model = save_random(tmp_path / "model", make)
    for recipe in ("static_int8", "int4"):
        out = tmp_path / f"{recipe}.tflite"
        command = ("quantize", model, "-o", out, "--recipe", recipe, "--calibration", data, "--error-texts", 4)
        assert run(*command) == 0
        assert json.loads(out.with_suffix(".report.json").read_text())["task"] == task


def test_texts_in_another_language_are_told(untrained, tmp_path, capsys):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(["ο καιρός είναι καλός", "a good film"] * 8), encoding="utf-8")
    assert run("quantize", untrained, "-o", tmp_path / "m.tflite", "--recipe", "int4", "--calibration", texts) == 0
    unknown = json.loads((tmp_path / "m.report.json").read_text())["calibration"]["unknown"]
    assert unknown == pytest.approx(4 / 11)  # of [CLS] and [SEP] twice, four unknown words and three known ones
    assert f"warning: {unknown:.1%} of the tokens" in capsys.readouterr().err


def test_a_model_without_data_files_is_calibrated_on_texts(sentiment, tmp_path, capsys):
    model = save_random(tmp_path / "model", lambda encoder, t: kb.MaskedLanguageModel(encoder, tokenizer=t))
    shutil.copy(sentiment, tmp_path / "texts.txt")
    command = ("quantize", model, "-o", tmp_path / "m.tflite", "--recipe", "int4", "--error-texts", 4)
    for option, file in (("--calibration", sentiment), ("--train", tmp_path / "texts.txt")):
        assert run(*command, option, file) == 2
        assert "a model for masked_lm has no data files: expected --calibration with a text" in capsys.readouterr().err
    assert not (tmp_path / "m.tflite").exists()
    assert run(*command, "--calibration", tmp_path / "texts.txt") == 0
    assert json.loads((tmp_path / "m.report.json").read_text())["calibration"]["texts"] == 61  # its header is one


def test_where_nothing_is_chosen_nothing_is_said_to_agree(tmp_path, capsys):
    model = save_random(
        tmp_path / "model",
        lambda encoder, t: kb.SequenceClassifier(encoder, ["value"], problem_type="regression", tokenizer=t),
    )
    out = tmp_path / "m.tflite"
    texts = tmp_path / "texts.txt"
    texts.write_text("a good film\nit was dull\na very sad film\n")
    assert run("quantize", model, "-o", out, "--recipe", "dynamic_int8", "--calibration", texts) == 0
    report = json.loads((tmp_path / "m.report.json").read_text())
    assert {report["agreement"], *(each["agreement"] for each in report["layers"])} == {None}
    assert "100.0%" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--recipe", "static_int8"), "static_int8 is calibrated on texts"),
        (("--recipe", "int4", "--calibration", "EMPTY"), "holds no text"),
        (("--recipe", "int4", "--calibration", "missing.txt"), "cannot read missing.txt"),
        (("--recipe", "int4", "--qat"), "--qat trains on labelled data"),
        (("--recipe", "float16", "--qat", "--train", "TRAIN"), "--qat is for static_int8 and int4, not for float16"),
        (("--recipe", "mixed", "--calibration", "TRAIN", "--budget", "1e-9"), "a budget of 1e-09 cannot be kept"),
        (("--recipe", "int4", "--qat", "--train", "TRAIN", "--soft", "-1"), "--soft: expected a weight of 0 or more"),
        (("--recipe", "float16", "-o", "model.bin"), "expected one that ends in .tflite"),
        (("--recipe", "float16", "--checkpoint", "somewhere"), "--checkpoint is of --qat"),
    ],
)
def test_refused(untrained, sentiment, tmp_path, capsys, options, message):
    (tmp_path / "empty.txt").write_text("\n \n", encoding="utf-8")
    named = {"EMPTY": tmp_path / "empty.txt", "TRAIN": sentiment}
    out = ("-o", tmp_path / "out" / "model.tflite")
    assert run("quantize", untrained, *out, *(named.get(option, option) for option in options)) == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True
