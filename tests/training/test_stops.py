"""What is refused before the first step, what stops a run after it, and what stays."""

import dataclasses
import hashlib
import json
import pathlib
import resource
import shutil
import subprocess
import sys
import threading
import types

import pytest
import tensorflow as tf
from tiny_runs import make_config, start, write_data
from tiny_shards import write_shards

from keras_bert.data.pretraining import PretrainingData, PretrainingSettings
from keras_bert.errors import ConfigError, DataError, KerasBertError, TrainingError
from keras_bert.training.loop import train
from keras_bert.training.monitor import Monitor, Records
from keras_bert.training.run import last_checkpoint, prepare
from keras_bert.training.step import PretrainingStep
from keras_bert.training.strategies import make_distribution, read_cluster, wait_for_workers
from keras_bert.training.work_dir import WorkDir

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def test_a_loss_that_is_not_finite_stops_the_run(data, tmp_path):
    config = make_config(
        data, optimizer={"learning_rate": 1e30, "warmup_steps": 0}, checkpoint={"every": 1}, logging={"every": 1}
    )
    expected = (
        r"step 2: the loss is nan.* came from shard-0000\d-of-00004.tfrecord.* The last checkpoint is .*step-00000001"
    )
    with pytest.raises(TrainingError, match=expected):
        train(start(config, tmp_path / "run"))
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000001"]


def test_the_shards_that_are_named_hold_the_examples(data):
    held_out = PretrainingData(data / "train", PretrainingSettings(sequence_length=32, max_predictions=5), seed=3)
    batch = next(held_out.dataset(batch_size=4, lanes=4).as_numpy_iterator())
    # Four lanes over four shards: each owns one, at every epoch.
    assert held_out.shard_files(batch["example_ids"], 4) == [f"shard-{i:05d}-of-00004.tfrecord" for i in range(4)]
    assert held_out.shard_files(batch["example_ids"][batch["example_ids"][:, 0] == 2], 4) == [
        "shard-00002-of-00004.tfrecord"
    ]


def test_a_full_disk_leaves_the_last_checkpoint(data, tmp_path):
    run = start(make_config(data, logging={"tensorboard": False}), tmp_path / "run")
    train(run, stop_at=4)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(KerasBertError, match=r"cannot write .*step-00000008"):
            train(run, stop_at=8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000004"]
    assert start(make_config(data), tmp_path / "run").progress.step == 4


def test_a_disk_that_is_full_when_a_record_is_written_is_named(tmp_path):
    """A limit on the size of files stands for the disk's end."""
    folder = WorkDir(tmp_path)
    filled, tensorboard = Records(folder, False, Monitor()), Records(folder, True, Monitor())
    record = {"step": 1, "loss": 0.5}
    filled.trained(record)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(KerasBertError, match=r"cannot write .*metrics\.jsonl: File too large"):
            filled.trained({**record, "note": "x" * 100})
        (tmp_path / "metrics.jsonl").unlink()
        with pytest.raises(KerasBertError, match=r"cannot write to .*tensorboard: .*File too large"):
            tensorboard.trained(record)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tensorboard").write_text("a file")
    with pytest.raises(KerasBertError, match=r"cannot write to .*tensorboard: "):
        Records(WorkDir(tmp_path / "run"), True, Monitor())


def test_the_batch_must_be_cut_evenly(data, tmp_path):
    with pytest.raises(ConfigError, match=r"micro_batch_size: expected a divisor of 8, .* got 3"):
        start(make_config(data, training={"micro_batch_size": 3}), tmp_path / "run")
    with pytest.raises(ConfigError, match="sequence_length: expected at most 32, got 64"):
        start(make_config(data, examples={"sequence_length": 64}), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"data.folder: expected a folder of shards"):
        start(make_config(data, data={"folder": ""}), tmp_path / "run")


def test_held_out_shards_that_do_not_fit_are_refused_before_the_first_step(data, tmp_path):
    """At the first evaluation it would cost all steps before it, at every restart."""
    write_shards(tmp_path / "single", shards=1, seed=1)
    one = make_distribution("one_device")
    two_workers = dataclasses.replace(one, num_workers=2)
    with pytest.raises(ConfigError, match=r"single: 1 lanes \(.*1 shards.*\) cannot be shared by 2 workers"):
        prepare(make_config(data, data={"evaluation": str(tmp_path / "single")}), tmp_path / "run", two_workers)
    two_replicas = dataclasses.replace(one, strategy=types.SimpleNamespace(num_replicas_in_sync=2))
    with pytest.raises(ConfigError, match=r"evaluation.batch_size: expected a multiple of 2 replicas, got 3"):
        prepare(make_config(data, evaluation={"batch_size": 3}), tmp_path / "run", two_replicas)
    assert not (tmp_path / "run").exists()


def test_held_out_shards_of_another_tokenizer_are_refused(data, tmp_path):
    """Of the same size, even: nothing else would show it but a bad score."""
    other = tmp_path / "other"
    shutil.copytree(data / "held-out", other)
    file = other / "tokenizer.json"
    file.write_text(file.read_text().replace('"film"', '"movie"'))
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["tokenizer_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"data.evaluation: the shards of .*other were made with another tokenizer"):
        start(make_config(data, data={"evaluation": str(other)}), tmp_path / "run")


def test_a_lost_worker_is_told_wherever_it_shows(data, tmp_path, monkeypatch):
    """In an evaluation, and when the workers tell the chief where they are, as much as in a step."""
    config = make_config(data, evaluation={"every": 1}, checkpoint={"every": 1}, logging={"tensorboard": False})
    run = start(config, tmp_path / "run")
    # The loop takes itself for one of two workers; the steps are those of one device.
    run.distribution = dataclasses.replace(run.distribution, num_workers=2)

    def lost(*arguments):
        raise tf.errors.UnavailableError(None, None, "Connection reset by peer")

    with monkeypatch.context() as patch:
        patch.setattr(PretrainingStep, "evaluate", lost)
        with pytest.raises(TrainingError, match="another worker has stopped"):
            train(run)
    monkeypatch.setattr(type(run.distribution), "sum_over_workers", lost)
    with pytest.raises(TrainingError, match="another worker has stopped"):
        train(run)


def test_a_worker_that_never_appears_is_named(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ConfigError, match=r"TF_CONFIG: expected \{.*, got nothing"):
        read_cluster()
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}')
    with pytest.raises(ConfigError, match="an index below 1"):
        read_cluster()
    # Port 1 of the loopback answers nobody.
    with pytest.raises(TrainingError, match=r"worker 1 at 127.0.0.1:1 did not appear within 0.5 seconds"):
        wait_for_workers(["127.0.0.1:0", "127.0.0.1:1"], 0, 0.5)


def test_paths_of_checkpoints_are_found(tmp_path: pathlib.Path, data):
    """What a killed process leaves half written is no checkpoint, and goes."""
    run = start(make_config(data), tmp_path / "run")
    half = tmp_path / "run" / "checkpoints" / ".step-00000004.abc.part"
    half.mkdir(parents=True)
    (half / "model.safetensors").write_bytes(b"x")
    (half.parent / "step-old").mkdir()
    assert run.work_dir.saved() == {}
    assert start(make_config(data), tmp_path / "run").progress.step == 0
    assert not half.exists()


HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_leaves_the_work_dir_alone(data, tmp_path):
    """What the first one is writing looks half written, and must not be cleaned away."""
    work_dir = tmp_path / "run"
    start(make_config(data), tmp_path / "other")
    half = work_dir / "checkpoints" / ".step-00000004.abc.part"
    half.mkdir(parents=True)
    command = [sys.executable, "-c", HOLDER, str(work_dir / ".lock")]
    shutil.copy(tmp_path / "other" / "run.json", work_dir / "run.json")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(TrainingError, match=r"another process is training in .*run: wait for its end"):
            start(make_config(data), work_dir)
        assert half.exists()
    start(make_config(data), work_dir)
    assert not half.exists()


def test_a_worker_waits_for_the_checkpoint_that_the_chief_goes_on_from(tmp_path):
    """The file system that they share shows it late to one, or never: a worker must not begin from an older one."""
    other = types.SimpleNamespace(worker=1, of_chief=lambda own: 6)
    folder = WorkDir(tmp_path)
    folder.checkpoint_path(3).mkdir(parents=True)
    with pytest.raises(TrainingError, match=r"worker 1 did not see .*step-00000006, .* within 0\.2 seconds .* share"):
        last_checkpoint(folder, other, timeout=0.2)
    late = threading.Timer(0.3, folder.checkpoint_path(6).mkdir)
    late.start()
    assert last_checkpoint(folder, other, timeout=30) == folder.checkpoint_path(6)
    folder.checkpoint_path(9).mkdir()  # of the last hours of a run that the chief's disk has lost
    assert last_checkpoint(folder, other, timeout=30) == folder.checkpoint_path(6)
    alone = types.SimpleNamespace(worker=0, of_chief=lambda own: own)
    assert last_checkpoint(folder, alone, timeout=30) == folder.checkpoint_path(9)
    assert last_checkpoint(WorkDir(tmp_path / "new"), alone, timeout=30) is None
