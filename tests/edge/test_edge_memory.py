"""What the system tells of memory: control groups by the files that the kernel documents, and none left on opening."""

import pathlib
import subprocess
import sys
import textwrap

import keras_bert_edge
import keras_bert_edge.memory as memory
import keras_bert_edge.runtime as runtime
import pytest
from keras_bert_edge import EdgeError
from tflite_file import FIXTURES

MB = 1 << 20
UNLIMITED_1 = 9223372036854771712  # what version 1 shows where no limit is set


def group(folder, version, limit, used, cache):
    """The files that the kernel shows for a control group of a version."""
    folder.mkdir(parents=True, exist_ok=True)
    if version == 2:
        files = {"memory.max": limit, "memory.current": used, "memory.stat": f"anon 1\ninactive_file {cache}\n"}
    else:
        stat = f"cache 5\ninactive_file 7\ntotal_cache 5\ntotal_inactive_file {cache}\n"
        files = {"memory.limit_in_bytes": limit, "memory.usage_in_bytes": used, "memory.stat": stat}
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A /sys/fs/cgroup of our own; returns its folder and a function that says which groups this process is in."""
    monkeypatch.setattr(memory, "CGROUP", str(tmp_path / "cgroup"))
    monkeypatch.setattr(memory, "MEMBERSHIP", str(tmp_path / "self"))
    monkeypatch.setattr(memory, "_available_in_machine", lambda: None)
    monkeypatch.setattr(memory, "_available_in_process", lambda: None)
    return tmp_path / "cgroup", (tmp_path / "self").write_text


def assert_left(megabytes):
    """A model of 10 MB needs 26, its size and what the runtime takes: refused below, and only there."""
    if megabytes is not None and megabytes < 26:
        with pytest.raises(EdgeError, match=rf"this control group leaves {megabytes * MB / 1e6:,.0f} MB"):
            memory.require_memory("model.tflite", 10 * MB, 1)
    else:
        memory.require_memory("model.tflite", 10 * MB, 1)
    assert memory._available_in_group() == (None if megabytes is None else megabytes * MB)


@pytest.mark.parametrize("used", [70, 75])
def test_a_service_of_its_own_group(system, used):
    """systemd's MemoryMax= of a service, seen from outside a control group namespace."""
    root, say = system
    say("0::/system.slice/answers.service\n")
    group(root / "system.slice", 2, "max", 500 * MB, 0)
    group(root / "system.slice" / "answers.service", 2, 80 * MB, used * MB, 15 * MB)
    assert_left(80 - used + 15)


def test_the_group_above_may_be_the_narrower_one(system):
    root, say = system
    say("0::/user.slice/app.scope\n")
    group(root / "user.slice", 2, 90 * MB, 80 * MB, 2 * MB)
    group(root / "user.slice" / "app.scope", 2, 300 * MB, 10 * MB, 0)
    assert_left(12)


@pytest.mark.parametrize("membership", ["0::/\n", "0::/docker/0123\n", None])
def test_a_container_s_own_group_is_the_root(system, membership):
    """With a namespace, with the host's path, which leads nowhere here, and where the kernel tells no groups."""
    root, say = system
    if membership:
        say(membership)
    group(root, 2, 64 * MB, 60 * MB, MB)
    assert_left(5)


@pytest.mark.parametrize(("limit", "left"), [(64 * MB, 11), (UNLIMITED_1, None)])
def test_version_1(system, limit, left):
    root, say = system
    say("12:cpu,cpuacct:/a\n4:memory:/docker/0123\n1:name=systemd:/docker/0123\n0::/system.slice/docker.service\n")
    group(root / "memory", 1, UNLIMITED_1, 900 * MB, 0)
    group(root / "memory" / "docker" / "0123", 1, limit, 60 * MB, 7 * MB)
    if left is None:
        memory.require_memory("model.tflite", 10 * MB, 1)
    else:
        assert_left(left)


def test_no_groups_and_what_is_none_limit_nothing(system):
    root, say = system
    assert_left(None)
    say("no group\n0::/a:b\n")
    group(root / "a:b", 2, "max", 5, 0)
    assert_left(None)


class OutOfMemory:
    def __init__(self, **options):
        raise MemoryError


def test_memory_that_runs_out_while_opening_is_named(monkeypatch):
    monkeypatch.setattr(runtime, "find_runtime", lambda: ("a runtime", OutOfMemory))
    with pytest.raises(EdgeError, match=r"pair\.tflite cannot be opened: there is too little memory for it"):
        keras_bert_edge.load(FIXTURES / "pair.tflite")


def test_memory_that_runs_out_at_the_first_list_leaves_the_model_for_one_text(monkeypatch):
    model = keras_bert_edge.load(pathlib.Path(__file__).parents[1] / "vectors" / "classification.tflite")
    items = ["a good film", "a bad film", "a dull film", "not a film"]
    expected = [model(item) for item in items]
    monkeypatch.setattr(runtime, "find_runtime", lambda: ("a runtime", OutOfMemory))
    assert model(items) == expected
    assert model.engine.batch_size is None


def test_a_text_that_memory_has_no_room_for_is_refused(monkeypatch):
    """Before the tokenizer takes it, which would end the process."""
    model = keras_bert_edge.load(FIXTURES / "single.tflite")
    text = "film " * 60_000
    whole = model(text)
    monkeypatch.setattr(memory, "_available_in_process", lambda: memory.TEXT_BYTES * len(text) - 1)
    with pytest.raises(EdgeError, match=r"a text of 300,000 characters needs about 120 MB"):
        model(text)
    assert model("film " * 1000).label == whole.label


def test_tokenizing_takes_no_more_than_is_asked_for():
    """The peak of a process of its own, over that of a short text."""
    code = """
    import sys, keras_bert_edge
    model = keras_bert_edge.load(sys.argv[1])
    peak = lambda: next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    before = peak()
    model("film a, " * (int(sys.argv[2]) // 8))
    print(1024 * (peak() - before) / int(sys.argv[2]))
    """
    if not pathlib.Path("/proc/self/status").exists():
        pytest.skip("this system does not tell a process's peak")
    arguments = [sys.executable, "-c", textwrap.dedent(code), str(FIXTURES / "single.tflite"), "2000000"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=120)
    assert float(done.stdout) < memory.TEXT_BYTES
