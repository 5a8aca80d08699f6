"""`keras-bert compress`: targets, plans, the front of the trade, and a whole run."""

import dataclasses
import json
import subprocess

import keras_bert_edge
import numpy as np
import pytest
from command import run
from keras_bert_tools.compression.picture import pareto_front
from keras_bert_tools.compression.plans import plans_for
from keras_bert_tools.compression.target import check_measures, nearest, parse_target
from keras_bert_tools.tflite.recipes import RECIPES
from tiny import save_random

import keras_bert as kb
from keras_bert.data import read_labelled_texts, split_labelled_texts
from keras_bert.errors import KerasBertError

TEACHER = {"size": 90e6, "accuracy": 0.8, "latency": 6.0}


def accuracy(path, data):
    """Of a file, text by text on the edge runner."""
    answers = [result.label for result in keras_bert_edge.load(str(path))(data.texts)]
    return np.mean([a == b for a, b in zip(answers, data.labels, strict=True)])


def test_targets():
    size, accuracy, latency = parse_target("size<10MB, accuracy >= 0.97*teacher,latency<=2.5 ms")
    assert size.holds({"size": 9_999_999}, TEACHER)
    assert not size.holds({"size": 10_000_000}, TEACHER)
    assert accuracy.limit(TEACHER) == pytest.approx(0.776)
    assert accuracy.shortfall({"accuracy": 0.7372}, TEACHER) == pytest.approx(0.05)
    assert accuracy.shortfall({"accuracy": 0.8}, TEACHER) == 0
    assert latency.holds({"latency": 2.5}, TEACHER)
    check_measures([size, latency], {"size": "bytes", "latency": "ms"})


def test_the_nearest_meets_the_target_where_one_does():
    """At equality a strict condition is off by nothing, and still not met."""
    equal, larger, off = ({"size": size, "accuracy": score} for size, score in ((3, 0.7), (9, 0.71), (2, 0.6)))
    conditions = parse_target("accuracy>0.7")
    assert nearest([off, equal, larger], conditions, TEACHER) is larger
    assert nearest([off, equal], conditions, TEACHER) is equal
    assert nearest([larger, {**larger, "size": 8}, off], conditions, TEACHER)["size"] == 8


@pytest.mark.parametrize(
    "text", ["small", "size<", "size=3", "size<10 teachers", "size<10MB accuracy>1", "size<-1", ""]
)
def test_targets_that_cannot_be_read(text):
    with pytest.raises(KerasBertError, match="expected something like"):
        parse_target(text)


@pytest.mark.parametrize(("text", "message"), [("speed>3", "expected one of size"), ("size<3ms", "not measured in ms")])
def test_targets_that_are_not_measured(text, message):
    with pytest.raises(KerasBertError, match=message):
        check_measures(parse_target(text), {"size": "bytes"})


def test_plans_of_a_six_layer_model():
    plans = plans_for(kb.PRESETS["minilm_l6_uncased"], 8000, 30522)
    names = [plan.name for plan in plans]
    rests = ("structure", "layers3", "layers3+structure", "layers2", "layers2+structure")
    chains = ["teacher", "vocabulary", *(f"vocabulary+{rest}" for rest in rests)]
    assert names[0] == "teacher, float32"
    assert names[1::2] == [f"{chain}, dynamic_int8" for chain in chains]
    assert names[2::2] == [f"{chain}, int4" for chain in chains]
    unlike = kb.PRESETS["minilm_l6_uncased"].replace(intermediate_sizes=[1000] * 5 + [400])
    for config, units in ((kb.PRESETS["minilm_l6_uncased"], "768"), (unlike, "450")):
        half = plans_for(config, 8000, 30522)[-1].stages[-1]
        assert half.options == ("--heads", "6", "--feedforward", units, "--allocation", "global")
    small = kb.PRESETS["bert_tiny_uncased"].replace(num_layers=1)
    assert [len(plan.stages) for plan in plans_for(small, 8000, 8000)] == [0, 0, 0, 1, 1]


def test_front_of_the_trade():
    rows = [{"c": 3, "w": 0.9}, {"c": 1, "w": 0.5}, {"c": 2, "w": 0.4}, {"c": 4, "w": 0.9}, {"c": 2, "w": 0.7}]
    assert pareto_front(rows, "c", "w") == [1, 4, 0]


@pytest.fixture(scope="module")
def searched(shallow, sentiment, tmp_path_factory):
    """A run that tried every plan: its exit status, its command without the target, its folder."""
    pytest.importorskip("matplotlib")
    out = tmp_path_factory.mktemp("searched") / "out"
    data = ("--train", sentiment, "--dev", sentiment, "--vocabulary", 70, "--epochs", 1, "--batch-size", 16)
    command = ("compress", shallow, "--task", "sequence_classification", *data, "--copies", 1, "--all", "-o", out)
    return run(*command, "--target", "size<1KB, accuracy>=0.5*teacher"), command, out


def test_a_target_that_cannot_be_met_gives_the_nearest(searched):
    status, _, out = searched
    assert status == 3
    report = json.loads((out / "report.json").read_text())
    assert report["met"] is False
    assert report["left_out"] == {}  # by --all
    assert [row["name"] for row in report["rows"]][-2:] == [
        f"vocabulary+structure, {recipe}" for recipe in ("dynamic_int8", "int4")
    ]
    winner = next(row for row in report["rows"] if row["name"] == report["winner"])
    assert winner["size"] == (out / "model.tflite").stat().st_size
    for row in report["rows"]:
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert row["gzip"] < row["size"]
    assert (out / "pareto.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (out / "pareto.svg").read_text()
    commands = (out / "commands.sh").read_text()
    assert commands.count("keras-bert prune") == 2
    assert commands.count(" --copies 1 ") == 2  # of those that train
    assert commands.count("keras-bert export") == 1
    assert commands.count("keras-bert quantize") == 6
    assert commands.splitlines()[-1] == f"cp {winner['file']} {out / 'model.tflite'}"
    assert subprocess.run(["sh", "-n", out / "commands.sh"], check=False).returncode == 0


def test_what_is_done_is_not_done_again(searched, capsys):
    """Not even for another target; but what was damaged is, and what was made from it."""
    _, command, out = searched
    stages = [out / "stages" / name for name in ("vocabulary", "vocabulary+structure")]

    def contents():
        paths = [*(stage / "model.safetensors" for stage in stages), *sorted((out / "files").glob("*.tflite"))]
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}

    before, commands = contents(), (out / "commands.sh").read_text()
    damaged = stages[1] / "config.json"
    damaged.write_text(damaged.read_text() + " ")
    assert run(*command, "--target", "size<2KB") == 3
    after = contents()
    again = {path.name for path in before if before[path][1] != after[path][1]}
    files = {f"vocabulary+structure.{recipe}.tflite" for recipe in ("dynamic_int8", "int4")}
    assert again == {"model.safetensors", *files}
    assert before[stages[0] / "model.safetensors"] == after[stages[0] / "model.safetensors"]
    assert {path: found for path, (found, _) in before.items()} == {path: found for path, (found, _) in after.items()}
    assert (out / "commands.sh").read_text() == commands
    shown = capsys.readouterr().out
    assert f"{stages[0]}: made before, taken as it is" in shown
    assert "comes nearest to size<2KB" in shown


def test_a_target_met_at_once_trains_nothing(shallow, sentiment, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    assert run("compress", shallow, "--train", sentiment, "--target", "size<1*teacher", "-o", out) == 0
    report = json.loads((out / "report.json").read_text())
    assert (report["met"], report["winner"], len(report["rows"])) == (True, "teacher, dynamic_int8", 2)
    assert not (out / "stages").exists()
    # Judged on the tenth of --train that every job holds out by this seed.
    _, dev = split_labelled_texts(read_labelled_texts(sentiment), 0.1, 0)
    assert report["rows"][0]["accuracy"] == pytest.approx(accuracy(out / "files" / "teacher.float32.tflite", dev))


def test_nothing_is_chosen_on_test(classifier, sentiment, tmp_path, capsys):
    """Every label of the test set is wrong for this teacher: the target is met on dev and, it is told, not there."""
    pytest.importorskip("matplotlib")
    wrong, swapped = tmp_path / "wrong.tsv", {"neg": "pos", "pos": "neg"}
    lines = sentiment.read_text().splitlines()
    rows = [text.rpartition("\t") for text in lines[1:]]
    wrong.write_text("\n".join([lines[0], *(f"{text}\t{swapped[label]}" for text, _, label in rows)]) + "\n")
    data = ("--train", sentiment, "--dev", sentiment, "--test", wrong)
    assert run("compress", classifier, *data, "--target", "accuracy>0.5", "-o", tmp_path / "out") == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["met"], report["met_on_test"]) == (True, False)
    test = read_labelled_texts(wrong)
    for row in report["rows"]:
        assert row["accuracy"] == pytest.approx(1 - row["test"]["accuracy"])
        assert row["test"]["accuracy"] == pytest.approx(accuracy(row["file"], test))
        assert row["test"]["low"] <= row["test"]["accuracy"] <= row["test"]["high"]
    assert "meets accuracy>0.5 on dev, but not on test" in capsys.readouterr().out


def test_what_fails_is_told_and_the_rest_goes_on(shallow, sentiment, tmp_path, capsys):
    """No vocabulary has 8 tokens: the plans that trim it alone fail, and the others do without."""
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    data = ("--train", sentiment, "--dev", sentiment, "--vocabulary", 8, "--epochs", 1, "--all")
    assert run("compress", shallow, *data, "--target", "size<1KB", "-o", out) == 3
    report = json.loads((out / "report.json").read_text())
    assert [row["name"] for row in report["rows"]] == [
        *(f"teacher, {recipe}" for recipe in ("float32", "dynamic_int8", "int4")),
        *(f"structure, {recipe}" for recipe in ("dynamic_int8", "int4")),
    ]
    assert list(report["failed"]) == [f"vocabulary, {recipe}" for recipe in ("dynamic_int8", "int4")]
    assert all("a vocabulary of 8 is too small" in message for message in report["failed"].values())
    assert (out / "model.tflite").exists()
    assert "--vocabulary" not in (out / "commands.sh").read_text()
    shown = capsys.readouterr()
    assert "failed" in next(line for line in shown.out.splitlines() if line.strip().startswith("vocabulary"))
    assert "vocabulary, int4 failed: a vocabulary of 8 is too small" in shown.err


def test_files_are_calibrated_on_the_data_as_it_is_read(tmp_path):
    """Tags in the first column, in a file whose name says text: it is read as the task's all the same."""
    pytest.importorskip("matplotlib")
    tags = ["O", "B-PER", "I-PER"]
    model = save_random(tmp_path / "model", lambda encoder, t: kb.TokenClassifier(encoder, tags, tokenizer=t))
    sentences = ["B-PER anna\nO was\nO sad\n", "O a\nO fine\nO film\n", "O it\nO was\nO dull\n"]
    (tmp_path / "train.txt").write_text("\n".join(sentences))
    data = ("--train", tmp_path / "train.txt", "--dev", tmp_path / "train.txt", "--vocabulary", 8, "--all")
    command = ("compress", model, *data, "--tag-column", 0, "--token-column", 1, "--target", "size<1KB")
    assert run(*command, "-o", tmp_path / "out") == 3
    report = json.loads((tmp_path / "out" / "files" / "teacher.int4.report.json").read_text())
    assert report["calibration"]["texts"] == 3
    (pruned,) = (
        c for c in (tmp_path / "out" / "commands.sh").read_text().splitlines() if c.startswith("keras-bert prune")
    )
    assert " --epochs 3 " in pruned


def test_nothing_is_left_to_choose_from(shallow, sentiment, tmp_path, capsys, monkeypatch):
    """No int8 or 4-bit file agrees with Keras to the last bit."""
    pytest.importorskip("matplotlib")
    for name in ("dynamic_int8", "int4"):
        monkeypatch.setitem(RECIPES, name, dataclasses.replace(RECIPES[name], tolerance=1e-9))
    data = ("--train", sentiment, "--dev", sentiment, "--vocabulary", 8, "--all")
    assert run("compress", shallow, *data, "--target", "size<1KB", "-o", tmp_path / "out") == 2
    shown = capsys.readouterr().err
    assert "error: no plan could be carried out; teacher, dynamic_int8: " in shown
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target", "tiny"), "expected something like"),
        (("--target", "f1>=0.9"), "the target names f1: expected one of size, gzip, parameters, latency, accuracy"),
        (("--target", "size<1KB", "--task", "token_classification"), "was saved for sequence_classification, not for"),
    ],
)
def test_refused(options, message, shallow, sentiment, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    data = ("--train", sentiment, "--dev", sentiment)
    assert run("compress", shallow, *data, *options, "-o", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
