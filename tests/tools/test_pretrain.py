"""`keras-bert pretrain` as a user runs it: a configuration made small, a run that goes on, errors in one line."""

import json
import pathlib

import pytest
from command import run
from keras_bert_tools.pretrain import installed_configs

import keras_bert as kb

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory):
    """Stopped after 3 steps of 6, then gone on with, without XLA for the sake of time."""
    folder = tmp_path_factory.mktemp("pretrain") / "run"
    options = ("pretrain", "bert_mini", "--work-dir", folder, "--smoke", "--set", "training.jit_compile=false")
    assert run(*options, "--steps", 3) == 0
    assert json.loads((folder / "report.json").read_text())["step"] == 3
    assert not (folder / "config.json").exists()
    assert run(*options) == 0
    return folder


def test_smoke_ends_with_a_model_and_its_tokenizer(work_dir):
    model = kb.PretrainingModel.from_pretrained(work_dir)
    assert (model.config.num_layers, model.config.hidden_size) == (2, 32)
    assert model.tokenizer.vocab_size == model.config.vocab_size
    report = json.loads((work_dir / "report.json").read_text())
    assert (report["job"], report["step"], report["steps"], report["smoke"]) == ("pretrain", 6, 6, True)
    assert report["config"]["model"]["preset"] == "bert_mini_uncased"
    assert report["evaluation"]["loss"] > 0
    steps = [json.loads(line)["step"] for line in (work_dir / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 3, 4, 5, 6, 6]


# bert_mini is run above; the first phases differ from the second ones in nothing that --smoke keeps.
@pytest.mark.parametrize("name", sorted({*installed_configs()} - {"bert_mini", "bert_base_128", "bert_large_128"}))
def test_smoke_of_every_configuration(name, tmp_path):
    options = ("--set", "training.jit_compile=false", "--set", "evaluation.every=6")
    assert run("pretrain", name, "--work-dir", tmp_path / "run", "--smoke", *options) == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert (report["step"], report["steps"]) == (6, 6)
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert kinds.count("evaluation") == 1  # as --set has it; --smoke alone evaluates every 3 steps
    pairs = report["config"]["examples"]["objective"] in ("nsp", "sop")
    assert ("sentence_accuracy" in report["evaluation"]) is pairs
    model_class = kb.PretrainingModel if pairs else kb.MaskedLanguageModel
    assert model_class.from_pretrained(tmp_path / "run").config.num_layers == 2


def test_a_finished_run_keeps_its_report(work_dir, capsys):
    before = (work_dir / "report.json").read_text()
    options = ("pretrain", "bert_mini", "--work-dir", work_dir, "--smoke", "--set", "training.jit_compile=false")
    assert run(*options) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert (work_dir / "report.json").read_text() == before
    assert json.loads(before)["last"]["loss"] > 0
    # One that was killed before it wrote its report writes it now.
    (work_dir / "report.json").write_text(json.dumps({"step": 3}))
    assert run(*options) == 0
    assert json.loads((work_dir / "report.json").read_text())["step"] == 6


def test_another_configuration_is_refused(work_dir, capsys, monkeypatch):
    """Also where the folder is given without its name."""
    monkeypatch.chdir(work_dir)
    options = ("--smoke", "--set", "optimizer.weight_decay=0.1")
    assert run("pretrain", "bert_mini", "--work-dir", ".", *options) == 2
    assert "optimizer.weight_decay: 0.01 there, 0.1 now" in capsys.readouterr().err


def test_errors_are_one_line(tmp_path: pathlib.Path, capsys, monkeypatch):
    assert run("pretrain", "bert_maxi", "--work-dir", tmp_path / "x") == 2
    assert "no configuration bert_maxi: expected a TOML file, or one of adapt, " in capsys.readouterr().err
    for key, message in (
        ("training.stepz", "[training] has no stepz; known: steps, batch_size"),
        ("model.encoder.hidden_sz", "[model.encoder] has no hidden_sz; known: "),
    ):
        assert run("pretrain", "bert_mini", "--work-dir", tmp_path / "x", "--set", f"{key}=3") == 2
        assert message in capsys.readouterr().err
    assert run("pretrain", "bert_mini", "--work-dir", tmp_path / "x", "--data", tmp_path) == 2
    assert "manifest.json" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    monkeypatch.chdir(tmp_path)
    # A folder whose name would be a number in TOML.
    assert run("pretrain", "bert_mini", "--work-dir", tmp_path / "x", "--data", "2024") == 2
    assert "error: 2024 has no manifest.json" in capsys.readouterr().err
