"""Whole small runs: what TensorBoard reads, packed rows, rematerialisation, and the command stopped by a signal."""

import json
import os
import signal
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from keras_bert_tools import cli
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_shards import write_shards

from keras_bert.training.loop import train
from keras_bert.training.monitor import Monitor
from keras_bert.training.objectives import SUMS
from keras_bert.training.run import prepare
from keras_bert.training.run_config import RunConfig
from keras_bert.training.strategies import make_distribution

pytestmark = pytest.mark.tensorflow_only

CONFIG = """
[model]
preset = "bert_tiny_uncased"
[model.encoder]
hidden_size = 16
num_layers = 1
num_heads = 2
intermediate_size = 32
max_positions = 32
[data]
lanes = 1
[examples]
sequence_length = 32
objective = "mlm"
cross_documents = false
max_predictions = 5
max_packed = 4
[training]
steps = 100000
batch_size = 4
jit_compile = false
[optimizer]
learning_rate = 1e-3
[checkpoint]
every = 1000
[logging]
every = 1
"""
STEPS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One shard of short documents, and the configuration."""
    folder = tmp_path_factory.mktemp("small")
    write_shards(folder / "data", shards=1, documents=12)
    (folder / "config.toml").write_text(CONFIG)
    return folder


def make(folder, name, **training):
    import tomllib

    values = tomllib.loads(CONFIG)
    values["data"]["folder"] = str(folder / "data")
    values["examples"]["pack"] = training.pop("pack")
    values["checkpoint"]["every"] = training.pop("checkpoint", 1000)
    values["training"].update(steps=STEPS, **training)
    return prepare(RunConfig.from_dict(values), folder / name, make_distribution("one_device"))


def records(work_dir):
    return [json.loads(line) for line in (work_dir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def packed(folder):
    """A run on packed rows, with dropout."""
    run = make(folder, "packed", pack=True)
    train(run)
    return run


def test_tensorboard_reads_every_record(packed):
    path = packed.work_dir.path
    events = EventAccumulator(str(path / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    found = records(path)
    names = {"loss", "mlm_loss", "mlm_accuracy", "perplexity", "learning_rate", "gradient_norm", "tokens_per_second"}
    assert names <= set(found[0])
    for name in set(found[0]) - {"kind", "step"}:
        series = [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in events.Tensors(f"train/{name}")]
        assert series == [(row["step"], pytest.approx(row[name], rel=1e-6)) for row in found], name
    # By the schedule, and as many tokens as the first batch has.
    assert [row["learning_rate"] for row in found] == pytest.approx([1e-3 * (1 - i / STEPS) for i in range(STEPS)])
    rows = next(packed.data.dataset(batch_size=4).as_numpy_iterator())
    assert found[0]["tokens"] == rows["padding_mask"].sum()


def test_tensorboard_has_every_step_once_after_a_cut(packed, folder):
    """The third step is told, then the power fails: the run goes on after the second, its last checkpoint."""

    class Cut(Monitor):
        def trained(self, record):
            if record["step"] == 3:
                raise InterruptedError

    with pytest.raises(InterruptedError):
        train(make(folder, "cut", pack=True, checkpoint=2), listener=Cut())
    assert [row["step"] for row in records(folder / "cut")] == [1, 2, 3]
    train(make(folder, "cut", pack=True, checkpoint=2))
    events = EventAccumulator(str(folder / "cut" / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    series = [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in events.Tensors("train/loss")]
    expected = [(row["step"], pytest.approx(row["loss"])) for row in records(packed.work_dir.path)]
    assert series == expected


def test_a_rematerialised_run_has_the_losses_of_the_plain_one(packed, folder):
    """Dropout included: it is drawn again alike."""
    run = make(folder, "rematerialised", pack=True, rematerialize=True)
    train(run)
    losses, expected = ([row["loss"] for row in records(r.work_dir.path)] for r in (run, packed))
    assert losses == pytest.approx(expected, rel=1e-5)
    assert len(set(expected)) == STEPS
    for found, value in zip(run.step.trainable, packed.step.trainable, strict=True):
        np.testing.assert_allclose(found.numpy(), value.numpy(), atol=1e-5, err_msg=value.path)


def test_packed_rows_score_as_the_same_texts_one_a_row(packed, folder):
    """All examples of the first epoch: packing moves them, and changes neither them nor their masks nor their loss."""
    padded = make(folder, "padded", pack=False)
    for target, source in zip(padded.step.trainable, packed.step.trainable, strict=True):
        target.assign(source)
    sums, rows = [], []
    for run in (packed, padded):
        batch = next(run.data.dataset(batch_size=400).as_numpy_iterator())
        first = batch["example_ids"][:, 1] == 0
        assert not first.all()
        rows.append(int(first.sum()))
        epoch = {feature: values[first] for feature, values in batch.items()}
        sums.append(dict(zip(SUMS, run.step.evaluate(epoch).tolist(), strict=True)))
    assert rows[0] < 0.8 * rows[1]
    assert sums[0] == pytest.approx(sums[1], rel=1e-5)
    assert sums[0]["mlm_weight"] > 30


def test_sigterm_saves_and_stops_the_command_which_then_goes_on(folder):
    """Exit status 130, a checkpoint of the last step; the same command takes the steps after it."""
    work_dir = folder / "command"
    command = ["pretrain", str(folder / "config.toml"), "--work-dir", str(work_dir), "--data", str(folder / "data")]

    def stop_after_some_steps():
        while not (work_dir / "metrics.jsonl").exists() or len((work_dir / "metrics.jsonl").read_text()) < 1000:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop_after_some_steps)
    thread.start()
    assert cli.main(command) == 130
    thread.join()
    (checkpoint,) = (work_dir / "checkpoints").iterdir()
    stopped = int(checkpoint.name.removeprefix("step-"))
    assert [row["step"] for row in records(work_dir)] == list(range(1, stopped + 1))
    assert cli.main([*command, "--steps", str(stopped + 2)]) == 0
    assert [row["step"] for row in records(work_dir)] == list(range(1, stopped + 3))
    assert json.loads((work_dir / "report.json").read_text())["step"] == stopped + 2


def test_the_command_names_a_worker_that_never_appears(folder, monkeypatch, capsys):
    # Port 1 of the loopback answers nobody.
    cluster = {"cluster": {"worker": ["127.0.0.1:0", "127.0.0.1:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    options = ("--set", "distribution.strategy=multi_worker", "--set", "distribution.worker_timeout=0.3")
    work_dir = folder / "nobody"
    command = ("pretrain", str(folder / "config.toml"), "--work-dir", str(work_dir), "--data", str(folder / "data"))
    assert cli.main([*command, *options]) == 2
    assert capsys.readouterr().err == (
        "error: worker 1 at 127.0.0.1:1 did not appear within 0.3 seconds (distribution.worker_timeout)\n"
    )
    assert not work_dir.exists()
