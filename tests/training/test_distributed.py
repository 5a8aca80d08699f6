"""Runs in processes of their own: the same weights however the batch is cut, and runs that are killed and go on.

The processes are forked from one that has imported TensorFlow and no more, which half of their time would go into.
"""

import json
import multiprocessing
import pathlib
import random
import signal
import socket
import types

import child
import numpy as np
import pytest
from keras_bert_tools.pretrain import find_config
from keras_bert_tools.smoke import shrink
from safetensors.numpy import load_file
from tiny_shards import save_teacher, write_shards

from keras_bert.training.config_file import read_config
from keras_bert.training.strategies import Distribution

pytestmark = pytest.mark.tensorflow_only

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["keras_bert.training.loop"])
STEPS, KILLED_WORKER_AT, STOPPED_WORKER_AT, CHECKPOINT = 20, 8, 11, 3
# A random step, the same in every run of the tests.
KILLED_AT = random.Random(20).randint(4, STEPS - 1)


def config(data, optimizer="adamw", dropout=0.0, every=CHECKPOINT, **training):
    sizes = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 32, "max_positions": 32}
    return {
        "model": {
            "preset": "bert_tiny_uncased",
            "tokens": "cooccurrence",  # which one worker counts for all
            "encoder": {**sizes, "hidden_dropout": dropout, "attention_dropout": dropout},
        },
        "data": {"folder": str(data), "lanes": 4},
        "examples": {"sequence_length": 32, "objective": "nsp", "max_predictions": 5},
        "training": {"steps": STEPS, "batch_size": 8, "jit_compile": False, **training},
        "optimizer": {"name": optimizer, "learning_rate": 1e-3, "warmup_steps": 2},
        "checkpoint": {"every": every},
        "logging": {"every": 1 if every == CHECKPOINT else STEPS, "tensorboard": False},
    }


def start(folder, name, runs, strategies, environment=None, **job):
    job = {"runs": runs, "strategies": strategies, **job}
    environment = {"CUDA_VISIBLE_DEVICES": "", **(environment or {})}
    process = CONTEXT.Process(target=child.main, args=(job, str(folder / f"{name}.log"), environment), daemon=True)
    process.start()
    return process


def finish(process, folder, name, expected=0):
    process.join(900)
    process.kill()
    process.join()
    assert process.exitcode == expected, (folder / f"{name}.log").read_text()[-3000:]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def start_pair(folder, name, runs, **job):
    """Two workers on loopback."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index in (0, 1):
        tf_config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        own = [{**run, "strategy": "multi_worker", "log": run["log"] + str(index)} for run in runs]
        if index == 0:
            own = [{**run, "kill_at": None, "stop_at": None} for run in own]
        environment = {"TF_CONFIG": json.dumps(tf_config)}
        processes.append(start(folder, f"{name}{index}", own, ["multi_worker"], environment, **job))
    return processes


def weights(work_dir):
    return load_file(work_dir / "model.safetensors")


def losses(work_dir):
    rows = [json.loads(line) for line in (work_dir / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows if row["kind"] == "train"]


def example_ids(*logs, last=STEPS):
    """Step -> sorted ids of its global batch, from the logs of all workers."""
    found = {}
    for log in logs:
        for line in pathlib.Path(log).read_text().splitlines():
            step, rows = json.loads(line)
            if step <= last:
                found.setdefault(step, []).extend(map(tuple, rows))
    return {step: sorted(rows) for step, rows in sorted(found.items())}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def data(folder):
    return write_shards(folder / "data")


def taught(data, teacher):
    """A run that learns from a teacher, started from two of its layers."""
    values = config(data, every=STEPS, steps=5)
    values["model"] = {"encoder": {"hidden_dropout": 0.0, "attention_dropout": 0.0}}
    values["distillation"] = {"teacher": str(teacher), "layers": 2}
    values["examples"]["objective"] = "mlm"
    return values


def smoke(data):
    """What `--smoke` makes of a configuration that accumulates, for two replicas."""
    two = Distribution(types.SimpleNamespace(num_replicas_in_sync=2), "mirrored")
    values = shrink(read_config(find_config("bert_large_128"), ["training.jit_compile=false"]), two)
    values["data"]["folder"] = str(data)
    return values


@pytest.fixture(scope="module")
def one_process(folder, data):
    """All runs that one process can take, then one that is killed."""
    runs = []
    for optimizer in ("adamw", "lamb"):
        for name, strategy, training in (
            ("one", "one_device", {"steps_per_call": 5}),
            ("accumulated", "one_device", {"micro_batch_size": 2, "steps_per_call": 4}),
            ("mirrored", "mirrored", {"steps_per_call": 2, "jit_compile": optimizer == "lamb" or "elementwise"}),
        ):
            runs.append(
                {
                    "config": config(data, optimizer, every=STEPS, **training),
                    "work_dir": str(folder / f"{optimizer}-{name}"),
                    "strategy": strategy,
                    "log": str(folder / f"{optimizer}-{name}.ids"),
                }
            )
    teacher = save_teacher(folder / "teacher")
    for name, strategy in (("one", "one_device"), ("mirrored", "mirrored")):
        runs.append({"config": taught(data, teacher), "work_dir": str(folder / f"taught-{name}"), "strategy": strategy})
    runs.append({"config": smoke(data), "work_dir": str(folder / "smoke"), "strategy": "mirrored"})
    dropping = config(data, dropout=0.1)
    for name, kill_at in (("whole", None), ("killed", KILLED_AT)):
        runs.append({"config": dropping, "work_dir": str(folder / name), "strategy": "one_device", "kill_at": kill_at})
    finish(start(folder, "one", runs, ["one_device", "mirrored"], cpu_devices=2), folder, "one", expected=-9)
    return folder


@pytest.fixture(scope="module")
def two_workers(folder, data):
    """LAMB from beginning to end; AdamW, of which worker 1 is killed and the job started again; AdamW, of which it is
    asked to stop, and again."""
    runs = [
        {
            "config": config(data, "lamb", every=STEPS, steps_per_call=2),
            "work_dir": str(folder / "lamb-workers"),
            "log": str(folder / "lamb.ids"),
        },
        {
            "config": config(data, "adamw"),
            "work_dir": str(folder / "adamw-workers"),
            "log": str(folder / "first.ids"),
            "kill_at": KILLED_WORKER_AT,
        },
    ]
    chief, other = start_pair(folder, "first", runs)
    try:
        finish(other, folder, "first1", expected=-9)
    finally:  # as whoever runs the job would, when one of its workers is gone
        chief.kill()
        chief.join()
    again = [{**runs[1], "log": str(folder / "second.ids"), "kill_at": None}]
    asked = {"config": config(data, "adamw"), "work_dir": str(folder / "asked")}
    again += [
        {**asked, "log": str(folder / "asked.ids"), "stop_at": STOPPED_WORKER_AT, "stopped": True},
        {**asked, "log": str(folder / "after.ids")},
    ]
    for index, process in enumerate(start_pair(folder, "second", again)):
        finish(process, folder, f"second{index}")
    return folder


@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
@pytest.mark.parametrize("name", ["accumulated", "mirrored", "workers"])
def test_same_weights_however_the_batch_is_cut(optimizer, name, one_process, two_workers):
    expected, found = weights(one_process / f"{optimizer}-one"), weights(one_process / f"{optimizer}-{name}")
    assert sorted(found) == sorted(expected)
    for tensor, value in expected.items():
        np.testing.assert_allclose(found[tensor], value, rtol=0, atol=1e-5, err_msg=tensor)
    moved = max(np.abs(value).max() for tensor, value in expected.items() if tensor.endswith("bias"))
    assert moved > 1e-3


def test_two_replicas_learn_from_a_teacher_what_one_learns(one_process):
    expected, found = (weights(one_process / f"taught-{name}") for name in ("one", "mirrored"))
    start = weights(one_process / "teacher")
    for tensor, value in expected.items():
        np.testing.assert_allclose(found[tensor], value, rtol=0, atol=1e-5, err_msg=tensor)
    name = "bert.embeddings.word_embeddings.weight"
    assert np.abs(expected[name] - start[name]).max() > 1e-3


def test_smoke_of_an_accumulating_configuration_runs_on_two_replicas(one_process):
    rows = [json.loads(line) for line in (one_process / "smoke" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert (one_process / "smoke" / "model.safetensors").exists()


def test_a_killed_run_goes_on_as_if_it_had_not_been(one_process, data):
    folder = one_process
    assert not (folder / "killed" / "model.safetensors").exists()
    assert max(step for step, _ in losses(folder / "killed")) == KILLED_AT - 1
    run = {"config": config(data, dropout=0.1), "work_dir": str(folder / "killed"), "strategy": "one_device"}
    # Killed again, when of its next checkpoint there are only the weights.
    saved = sorted(path.name for path in (folder / "killed" / "checkpoints").iterdir())
    again = [{**run, "kill_in_save": True}]
    finish(start(folder, "again", again, ["one_device"]), folder, "again", expected=-9)
    (half,) = (folder / "killed" / "checkpoints").glob(".*")
    assert (half / "model.safetensors").exists()
    assert not (half / "state.json").exists()
    assert sorted(path.name for path in half.parent.glob("[!.]*")) == saved
    finish(start(folder, "resumed", [run], ["one_device"]), folder, "resumed")
    assert not half.exists()
    assert losses(folder / "killed") == losses(folder / "whole")
    assert [step for step, _ in losses(folder / "whole")] == list(range(1, STEPS + 1))
    for name, value in weights(folder / "whole").items():
        np.testing.assert_array_equal(weights(folder / "killed")[name], value, err_msg=name)


def test_no_example_is_lost_or_seen_twice_when_a_worker_dies(one_process, two_workers):
    folder = two_workers
    first = example_ids(folder / "first.ids0", folder / "first.ids1", last=KILLED_WORKER_AT - 1)
    second = example_ids(folder / "second.ids0", folder / "second.ids1")
    resumed = min(second)
    # The last checkpoint before the kill: nothing older is repeated.
    assert resumed == (KILLED_WORKER_AT - 1) // CHECKPOINT * CHECKPOINT + 1
    kept = {step: rows for step, rows in first.items() if step < resumed}
    assert {**kept, **second} == example_ids(one_process / "adamw-one.ids")
    rows = [row for rows in {**kept, **second}.values() for row in rows]
    assert len(rows) == len(set(rows)) == 8 * STEPS


def test_all_workers_stop_after_the_same_step_where_one_is_asked_to(one_process, two_workers):
    """SIGTERM to one, in the midst of its steps: both have a checkpoint of that very step to go on from."""
    folder = two_workers
    first = example_ids(folder / "asked.ids0", folder / "asked.ids1")
    second = example_ids(folder / "after.ids0", folder / "after.ids1")
    assert (max(first), min(second)) == (STOPPED_WORKER_AT, STOPPED_WORKER_AT + 1)
    assert {**first, **second} == example_ids(one_process / "adamw-one.ids")
    expected, found = weights(one_process / "adamw-one"), weights(folder / "asked")
    for tensor, value in expected.items():
        np.testing.assert_allclose(found[tensor], value, rtol=0, atol=1e-5, err_msg=tensor)


def test_sigterm_ends_a_worker_before_its_first_step(folder):
    """TensorFlow would only make a note of it."""
    for index, process in enumerate(start_pair(folder, "ended", [], ended=True)):
        finish(process, folder, f"ended{index}", expected=-signal.SIGTERM)
