"""Time and peak memory of loading a BERT-base checkpoint, against a plain read of the same file into NumPy.

Each load runs in a fresh process after its imports and one tiny model, so that neither the libraries' start nor a warm
allocator is counted; processes alternate. Peak memory is the rise of the process's resident high-water mark.

Example:
    python benchmarks/checkpoint_loading.py --repeats 5 --json loading.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import machine_facts, print_table, write_json

TIME_LIMIT, MEMORY_LIMIT = 1.5, 2.2
PLAIN, FULL, BUILD = "plain read", "Encoder.from_pretrained", "building the model alone"
HOW = (PLAIN, FULL, BUILD)


def resident_kilobytes(field: str) -> int:
    """`VmRSS` (now) or `VmHWM` (highest) of this process, as Linux counts them."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise SystemExit(f"error: /proc/self/status has no {field}; this benchmark runs on Linux")


def load_once(how: str, directory: Path) -> dict[str, float]:
    """Load in this process; return seconds and bytes of memory gained at the peak."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if how == PLAIN:
        from safetensors.numpy import load_file

        def load() -> object:
            return load_file(directory / "model.safetensors")
    else:
        import keras

        import keras_bert as kb
        from keras_bert.checkpoints import open_checkpoint

        kb.Encoder(kb.PRESETS["bert_tiny_uncased"].replace(vocab_size=16))

        def load() -> object:
            if how == BUILD:
                with keras.StatelessScope(initialize_variables=False):
                    return kb.Encoder(open_checkpoint(directory).config)
            return kb.Encoder.from_pretrained(directory)

    Path("/proc/self/clear_refs").write_text("5")  # sets the high-water mark back to what is resident now
    before, start = resident_kilobytes("VmRSS"), time.perf_counter()
    kept = load()
    seconds = time.perf_counter() - start
    del kept
    return {"seconds": seconds, "peak_bytes": 1024 * (resident_kilobytes("VmHWM") - before)}


def write_checkpoint(directory: Path, preset: str) -> None:
    """Write a randomly started checkpoint of the preset's shape."""
    import keras_bert as kb

    kb.Encoder(kb.PRESETS[preset]).save_pretrained(directory)


def in_new_process(*arguments: str) -> str:
    """Run this script with a hidden step; return what it printed last."""
    result = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"error: {' '.join(arguments)} failed:\n{result.stderr[-2000:]}")
    return result.stdout.strip().splitlines()[-1] if result.stdout.strip() else ""


def main() -> None:
    """Alternate the loads in fresh processes and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="bert_base_uncased")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--step", nargs=2, metavar=("HOW", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        how, folder = arguments.step[0], Path(arguments.step[1])
        if how == "write":
            write_checkpoint(folder, arguments.preset)
        else:
            print(json.dumps(load_once(how, folder)))
        return

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "checkpoint"
        in_new_process("--preset", arguments.preset, "--step", "write", str(folder))
        size = (folder / "model.safetensors").stat().st_size
        runs: dict[str, list[dict[str, float]]] = {how: [] for how in HOW}
        for _ in range(arguments.repeats):
            for how in HOW:
                runs[how].append(json.loads(in_new_process("--step", how, str(folder))))
    seconds = {how: statistics.median(run["seconds"] for run in runs[how]) for how in HOW}
    peak = {how: statistics.median(run["peak_bytes"] for run in runs[how]) / size for how in HOW}
    rows = [[how, f"{seconds[how]:.2f}", f"{seconds[how] / seconds[PLAIN]:.2f}", f"{peak[how]:.2f}"] for how in HOW]
    print_table(
        f"{arguments.preset}, {size / 1e6:.0f} MB", ["load", "seconds", "times plain read", "peak / file size"], rows
    )
    ratio = seconds[FULL] / seconds[PLAIN]
    print(f"time {ratio:.2f} (target {TIME_LIMIT}), peak memory {peak[FULL]:.2f} (target {MEMORY_LIMIT})")
    if arguments.json:
        facts = machine_facts(["keras", "tensorflow", "safetensors", "numpy"])
        write_json(arguments.json, {"machine": facts, "file_bytes": size, "runs": runs})


if __name__ == "__main__":
    main()
