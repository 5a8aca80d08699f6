"""A long-running loop on the edge runner, and what a second process of the same file costs.

Memory is Linux's: the resident set during the loop, the largest resident set of one process, and for one and two
processes at work the proportional set size (a page that both map counts half in each); of all, what a process that has
the libraries and the bare runtime alone needs is taken off.

Example:
    python benchmarks/edge_memory.py model.tflite --calls 100000 --json memory.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras_bert_edge
from report import machine_facts, print_table, write_json

LENGTHS = (1, 5, 12, 20, 40, 90)  # words of the texts, in turn
MEGABYTE = 1e6
# What the project aims at: MB of the peak beyond the file, a second process beside the first, growth in MB.
PEAK_BEYOND_FILE, SECOND_TO_FIRST, GROWTH = 60, 0.40, 2

WORKER = """
import sys, keras_bert_edge, numpy, tokenizers
from keras_bert_edge.runtime import find_runtime
find_runtime()
if sys.argv[1] != "-":
    model = keras_bert_edge.load(sys.argv[1])
    for words in (1, 20, 90):
        text = "film " * words
        model(text, "film" if model.task == "question_answering" else None)
print("ready", flush=True)
sys.stdin.read()
"""


def loop(path: Path, calls: int) -> dict[str, Any]:
    """Resident megabytes after a tenth of the calls and at each tenth that follows."""
    model = keras_bert_edge.load(path)
    texts = ["film " * words for words in LENGTHS]
    resident = []
    for call in range(calls):
        model(texts[call % len(texts)], "film" if model.task == "question_answering" else None)
        if (call + 1) % max(calls // 10, 1) == 0:
            with open("/proc/self/statm") as stream:
                resident.append(int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MEGABYTE)
    return {"calls": calls, "resident_mb": resident, "growth_mb": resident[-1] - resident[0]}


def processes(path: Path) -> dict[str, float]:
    """Megabytes beyond the bare runtime: the peak and the share of one process, and what a second adds."""

    def start(argument: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, argument],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert process.stdout
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"error: a fresh process could not run {path}")
        return process

    def told(process: subprocess.Popen, file: str, name: str) -> float:
        lines = Path(f"/proc/{process.pid}/{file}").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024 / MEGABYTE

    def proportional(*running: subprocess.Popen) -> float:
        return sum(told(process, "smaps_rollup", "Pss") for process in running)

    bare = [start("-"), start("-")]
    bare_one_of_two = proportional(*bare) / 2
    first = start(str(path))
    with_one = proportional(*bare, first)
    second = start(str(path))
    with_two = proportional(*bare, first, second)
    peak = told(first, "status", "VmHWM") - told(bare[0], "status", "VmHWM")
    for process in (*bare, first, second):
        process.communicate("")
    one = with_one - 3 * bare_one_of_two
    another = with_two - with_one - bare_one_of_two
    return {
        "file_mb": path.stat().st_size / MEGABYTE,
        "peak_mb": peak,
        "first_mb": one,
        "second_mb": another,
        "ratio": another / one,
    }


def verdicts(memory: dict[str, float], loop: dict[str, Any]) -> list[list[str]]:
    """A row a target: what, found, at most, whether it holds."""
    rows = [
        ("peak of one process, MB", memory["peak_mb"], memory["file_mb"] + PEAK_BEYOND_FILE),
        ("a second process / the first", memory["ratio"], SECOND_TO_FIRST),
        (f"growth over {loop['calls']} calls, MB", loop["growth_mb"], GROWTH),
    ]
    return [[name, f"{found:.2f}", f"{most:.2f}", "yes" if found <= most else "NO"] for name, found, most in rows]


def main() -> None:
    """Prints both and what they were to be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = {"memory": processes(arguments.model), "loop": loop(arguments.model, arguments.calls)}
    print(json.dumps(result, indent=1))
    print_table(f"{arguments.model}", ["", "found", "at most", "holds"], verdicts(**result))
    if arguments.json:
        write_json(arguments.json, {"machine": machine_facts(("ai-edge-litert", "numpy", "tokenizers")), **result})


if __name__ == "__main__":
    main()
