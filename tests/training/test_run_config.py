"""Configuration files: what is read, what is refused, and that those that ship are whole."""

import json
import pathlib
import types

import pytest
from keras_bert_tools.smoke import shrink

from keras_bert.errors import ConfigError
from keras_bert.training.config_file import read_config
from keras_bert.training.run_config import RunConfig
from keras_bert.training.strategies import Distribution
from keras_bert.training.work_dir import WorkDir

CONFIGS = sorted((pathlib.Path(__file__).resolve().parents[2] / "configs").glob("*.toml"))
SMALL = {
    "model": {"preset": "bert_mini_uncased"},
    "training": {"steps": 10, "batch_size": 4},
    "optimizer": {"learning_rate": 1e-3},
}


def changed(section, **values):
    return RunConfig.from_dict({**SMALL, section: {**SMALL.get(section, {}), **values}})


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_are_whole_and_can_be_made_small(path):
    values = read_config(path)
    config = RunConfig.from_dict(values)
    head = path.read_text(encoding="utf-8").split("\n\n", 1)[0] + path.read_text(encoding="utf-8").split("[model]")[0]
    for word in (f"keras-bert pretrain {path.stem} ", "Hardware:", "Time:"):
        assert word in head, word
    for replicas, workers in ((1, 1), (2, 1), (3, 1), (8, 1), (16, 2)):
        strategy = types.SimpleNamespace(num_replicas_in_sync=replicas)
        distribution = Distribution(strategy, "mirrored", num_workers=workers)
        small = RunConfig.from_dict(shrink(config.to_dict(), distribution))
        training = small.training
        assert training.steps == 6
        assert small.optimizer.name == config.optimizer.name
        assert small.examples.objective == config.examples.objective
        accumulates = config.training.micro_batch_size > 0
        cut = distribution.with_micro_batches(training.batch_size, training.micro_batch_size)
        assert cut.micro_batches == (2 if accumulates else 1)
        assert (small.data.lanes % workers, training.batch_size % small.data.lanes) == (0, 0)


def test_there_is_a_config_for_every_recipe():
    names = {path.stem for path in CONFIGS}
    recipes = {"bert_mini", "bert_base_128", "bert_base_512", "bert_large_128", "bert_large_512"}
    assert names == {*recipes, "roberta_base", "albert_base_v2", "distilbert", "adapt"}


def test_defaults_are_filled_in_and_values_typed():
    config = RunConfig.from_dict(SMALL)
    assert config.examples.max_predictions == 20
    assert (config.optimizer.beta_2, config.optimizer.epsilon, config.optimizer.weight_decay) == (0.999, 1e-6, 0.01)
    assert changed("optimizer", learning_rate=1).optimizer.learning_rate == 1.0
    assert RunConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("training", {"step": 3}, r"\[training\] has no step; known: steps, batch_size, "),
        ("examples", {"lenght": 3}, r"\[examples\] has no lenght; known: sequence_length, "),
        ("training", {"steps": "many"}, "training.steps: expected int, got 'many'"),
        ("training", {"jit_compile": 1}, "training.jit_compile: expected true, false or a text, got 1"),
        (
            "training",
            {"jit_compile": "some"},
            "training.jit_compile: expected true, false, auto or elementwise, got some",
        ),
        ("training", {"rematerialize": 1}, "training.rematerialize: expected true or false, got 1"),
        ("training", {"steps": True}, "training.steps: expected int, got True"),
        ("training", {"precision": "float8"}, "training.precision: expected one of float32, bfloat16, float16"),
        ("optimizer", {"name": "sgd"}, "optimizer.name: expected one of adamw, lamb, got 'sgd'"),
        ("optimizer", {"warmup_steps": 11}, "optimizer.warmup_steps: expected at most training.steps=10, got 11"),
        ("model", {"preset": "bert"}, "model.preset: expected one of bert_tiny_uncased, "),
        ("model", {"encoder": {"hidden_sz": 3}}, r"\[model.encoder\] has no hidden_sz; known: .*hidden_size, "),
        ("training", {"seed": -1}, r"training.seed: expected a number from 0 to 2\^32 - 1, got -1"),
        ("training", {"seed": 2**32}, r"training.seed: expected a number from 0 to 2\^32 - 1, got 4294967296"),
        ("model", {"preset": ""}, "model: expected a preset, or init, got neither"),
        ("distribution", {"strategy": "many"}, "distribution.strategy: expected one of one_device, mirrored"),
        ("evaluation", {"mask_rate": 1.0}, "evaluation.mask_rate: expected a number from 0 to 0.9, got 1.0"),
        ("checkpoint", {"keep": 0}, "checkpoint.keep: expected a number above 0, got 0"),
    ],
)
def test_bad_values_are_named(section, values, message):
    with pytest.raises(ConfigError, match=message):
        changed(section, **values)


def test_missing_and_unknown_sections():
    with pytest.raises(ConfigError, match=r"training\.steps: expected a value, got nothing"):
        RunConfig.from_dict({"model": {"preset": "bert_mini_uncased"}})
    with pytest.raises(ConfigError, match=r"the config has no trainig; known: model, data, examples, "):
        RunConfig.from_dict({**SMALL, "trainig": {}})


def test_files_and_changes(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('[model]\npreset = "bert_mini_uncased"\n[training]\nsteps = 10\nbatch_size = 4\n')
    changes = ["optimizer.learning_rate=1e-3", "data.folder=a/b", "model.encoder.num_layers=2", "data.lanes = 3"]
    values = read_config(file, changes)
    assert values["optimizer"] == {"learning_rate": 1e-3}
    assert values["data"] == {"folder": "a/b", "lanes": 3}
    assert values["model"]["encoder"] == {"num_layers": 2}
    with pytest.raises(ConfigError, match=r"expected section\.key=value, got 'steps=3'"):
        read_config(file, ["steps=3"])
    file.write_text("[model\n")
    with pytest.raises(ConfigError, match=r"run.toml is not TOML: .*line 1"):
        read_config(file)
    with pytest.raises(ConfigError, match=r"cannot read .*none\.toml: No such file"):
        read_config(tmp_path / "none.toml")


def test_a_work_dir_of_another_run_is_refused(tmp_path):
    from keras_bert.errors import TrainingError

    WorkDir(tmp_path / "run").begin(RunConfig.from_dict(SMALL), "a" * 64)
    for free in (
        changed("logging", every=3),
        changed("training", micro_batch_size=2),
        changed("distribution", strategy="mirrored"),
    ):
        WorkDir(tmp_path / "run").check(free, "a" * 64)
    with pytest.raises(
        TrainingError, match=r"another configuration: training.batch_size: 4 there, 8 now\. Take another"
    ):
        WorkDir(tmp_path / "run").check(changed("training", batch_size=8), "a" * 64)
    with pytest.raises(
        TrainingError, match=r"examples.masking: 'token' there, 'span' now; other shards in data.folder"
    ):
        WorkDir(tmp_path / "run").check(changed("examples", masking="span"), "b" * 64)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    del record["config"]["distillation"]  # as a release wrote it that had no such section
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    WorkDir(tmp_path / "run").check(RunConfig.from_dict(SMALL), "a" * 64)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(TrainingError, match="other holds files, but no run"):
        WorkDir(tmp_path / "other").check(RunConfig.from_dict(SMALL), "a" * 64)
