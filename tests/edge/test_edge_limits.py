"""Too little memory, and the small version of benchmarks/edge_fuzz.py."""

import pathlib
import subprocess
import sys

import keras_bert_edge
import pytest
from tflite_file import FIXTURES

ROOT = pathlib.Path(__file__).parents[2]

LIMITED = """
import resource, sys
import keras_bert_edge, numpy, tokenizers
from keras_bert_edge.runtime import find_runtime
find_runtime()
used = next(1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize:"))
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]), resource.RLIM_INFINITY))
from keras_bert_edge.cli import main
sys.exit(main(["run", sys.argv[1], "a cat"]))
"""


@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="only Linux tells what a process uses here")
def test_too_little_memory_is_refused_before_anything_is_allocated():
    for spare, status in ((4 << 20, 2), (1 << 30, 0)):
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, str(FIXTURES / "pair.tflite"), str(spare)],
            capture_output=True,
            check=False,
            cwd=pathlib.Path(keras_bert_edge.__file__).parents[1],
        )
        assert done.returncode == status, done.stderr
        if status:
            assert b"needs about 17 MB of memory, and this process's limit leaves " in done.stderr


def test_memory_is_counted_for_every_worker():
    import keras_bert_edge.memory as memory
    from keras_bert_edge import EdgeError

    available = memory._available_in_machine()
    if available is None:
        pytest.skip("this system does not tell its memory")
    memory.require_memory("model.tflite", available // 8, 4)
    with pytest.raises(EdgeError, match=r"model\.tflite needs about [0-9,]+ MB of memory, and .* MB"):
        memory.require_memory("model.tflite", available // 2, 4)


@pytest.mark.skipif(not (ROOT / "benchmarks" / "edge_fuzz.py").exists(), reason="the benchmarks are not here")
def test_the_fuzzing_script_finds_nothing():
    pytest.importorskip("rich")
    models = [FIXTURES / f"{name}.tflite" for name in ("pair", "entities", "answers_bpe", "masked")]
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "edge_fuzz.py"), *models, "--files", "300", "--strings", "2000"],
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
