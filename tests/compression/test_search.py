"""Plans of `compress` that cannot meet the target by their shape are left out."""

import argparse
import json

import pytest
from command import run
from keras_bert_tools.compress import add_arguments
from keras_bert_tools.compression.forecast import Forecast
from keras_bert_tools.compression.job import open_job
from keras_bert_tools.compression.plans import Plan, Stage, plans_for
from keras_bert_tools.compression.target import parse_target, spelled

import keras_bert as kb


def test_plans_that_cannot_meet_the_target_are_left_out(shallow, sentiment, tmp_path, capsys):
    """4,594 parameters, 4,482 with fewer tokens: only the plan with half of the heads and units has under 4,000. What
    it trains on its way has a row. Where no shape will do, the nearest is carried out."""
    pytest.importorskip("matplotlib")
    data = ("--train", sentiment, "--dev", sentiment, "--vocabulary", 70, "--epochs", 1)

    def compressed(target):
        status = run("compress", shallow, *data, "--target", target, "-o", tmp_path / "out")
        return status, json.loads((tmp_path / "out" / "report.json").read_text())

    status, report = compressed("parameters<4000, accuracy>=0")
    assert status == 0
    winner = "vocabulary+structure, dynamic_int8"
    teacher = [f"teacher, {recipe}" for recipe in ("float32", "dynamic_int8", "int4")]
    assert [row["name"] for row in report["rows"]] == [*teacher, "vocabulary, dynamic_int8", winner]
    assert report["left_out"] == {"vocabulary, int4": {"parameters": 4482}}
    shown = capsys.readouterr().out
    assert "vocabulary, int4 is left out: parameters 4,482 by its shape alone" in shown
    assert any(line.split()[-2:] == ["left", "out"] for line in shown.splitlines())

    status, report = compressed("parameters<10")
    assert (status, report["winner"]) == (3, winner)
    assert list(report["left_out"]) == ["vocabulary, int4", "vocabulary+structure, int4"]
    assert "vocabulary+structure, dynamic_int8 comes nearest by its shape" in capsys.readouterr().out


def test_the_forecast_is_what_files_cost(classifier, sentiment, tmp_path):
    """Against the checkpoints that the jobs make and their files, for each kind of stage, int8 and 4 bits."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    data = ["--train", str(sentiment), "--dev", str(sentiment)]
    opened = open_job(str(classifier), parser.parse_args([str(classifier), *data, "--target", "size<1B", "-o", "out"]))
    teacher = tmp_path / "teacher.tflite"
    assert run("export", classifier, "--recipe", "float32", "-o", teacher) == 0
    first = {"file": str(teacher), "size": 1.0, "parameters": 1.0, "latency": 1.0}
    forecast = Forecast(opened, first, parse_target("size<1B, parameters<1, latency<0ms, accuracy>2"))
    below = Forecast(opened, first, parse_target("size<1GB, parameters<1000000, latency<1000ms, gzip<1B, size>1GB"))
    stages = (
        Stage("vocabulary", "prune", (("vocabulary", 70),)),
        Stage("layers2", "distill", (("layers", 2),)),
        Stage("structure", "prune", (("heads", 1), ("feedforward", 5)), ("--allocation", "global")),
    )
    folder = classifier
    for count, (stage, recipe) in enumerate(zip(stages, ("dynamic_int8", "dynamic_int8", "int4"), strict=True), 1):
        before, folder = folder, tmp_path / stage.name
        epochs = {"prune": 0, "distill": 1}[stage.job]  # training changes no shape
        assert run(stage.job, before, *stage.options, *data, "--epochs", epochs, "-o", folder) == 0
        path = tmp_path / f"{stage.name}.tflite"
        assert run("quantize", folder, "--recipe", recipe, "--train", sentiment, "-o", path) == 0
        found = forecast.too_much(plan := Plan(stages[:count], recipe))
        assert found["parameters"] == json.loads(path.with_suffix(".report.json").read_text())["parameters"]
        assert found["size"] == pytest.approx(path.stat().st_size, rel=0.02)
        assert 0 < found["latency"] < 100  # times the teacher's
        assert below.too_much(plan) == {}
    assert forecast.too_much(Plan((), "int4")) == {}


def test_plans_say_what_their_jobs_are_given():
    """`sizes`, of which a forecast makes its model, are the numbers of the command."""
    plans = {plan.name: plan for plan in plans_for(kb.PRESETS["minilm_l6_uncased"], 8000, 30522)}
    vocabulary, layers, structure = plans["vocabulary+layers3+structure, dynamic_int8"].stages
    assert vocabulary.options == ("--vocabulary", "8000")
    assert vocabulary.sizes == {"vocabulary": 8000}
    assert layers.options == ("--layers", "3")
    assert layers.sizes == {"layers": 3}
    assert structure.options == ("--heads", "6", "--feedforward", "768", "--allocation", "global")
    assert structure.sizes == {"heads": 6, "feedforward": 768}
    for plan in plans.values():
        for stage in plan.stages:
            assert stage.sizes == {
                name.removeprefix("--"): int(value)
                for name, value in zip(stage.options[::2], stage.options[1::2], strict=True)
                if value != "global"
            }


def test_measures_are_spelled():
    assert spelled({"size": 14_716_602, "latency": 1.049, "parameters": 22713216, "gzip": 1e6}) == (
        "size 14.72 MB, latency 1.05 ms, parameters 22,713,216, gzip 1.00 MB"
    )
