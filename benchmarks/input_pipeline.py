"""How fast pretraining examples are made: examples/s and tokens/s of the input pipeline alone, and how full rows are.

FOLDER is a shard folder that `keras-bert prepare-data` wrote. The first batches, which open the shards and trace the
graph, are timed apart as seconds to the first batch. With `--training-rate` (tokens/s of the training step alone) it
prints how many times that the pipeline makes, and exits with status 1 where it is less than 5 times.

Example:
    python benchmarks/input_pipeline.py shards --lanes 8 --sequence-length 128 --json input_pipeline.json
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from report import machine_facts, print_table, write_json

from keras_bert.data.pretraining import MASKINGS, PretrainingData, PretrainingSettings

WARM_UP = 3
LEAST_RATIO = 5.0


def measure(folder: str, settings: PretrainingSettings, batch_size: int, lanes: int, seconds: float) -> dict[str, Any]:
    """Rates over at least `seconds` of reading, after the first batches."""
    start = time.perf_counter()
    batches = iter(PretrainingData(folder, settings).dataset(batch_size, lanes=lanes))
    first = next(batches)
    to_first = time.perf_counter() - start
    for _ in range(WARM_UP):
        next(batches)
    examples = tokens = places = masked = 0.0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        batch = next(batches)
        mask = batch["padding_mask"].numpy()
        rows = batch["sequence_ids"].numpy().max(axis=1) if settings.pack else len(mask)
        examples += float(rows.sum()) if settings.pack else rows
        tokens += float(mask.sum())
        places += mask.size
        masked += float(batch["masked_weights"].numpy().sum())
    taken = time.perf_counter() - start
    return {
        "objective": settings.objective,
        "masking": settings.masking,
        "packed": settings.pack,
        "examples_per_s": examples / taken,
        "tokens_per_s": tokens / taken,
        "fill": tokens / places,
        "masked": masked / tokens,
        "seconds_to_first_batch": to_first,
        "batch": list(first["token_ids"].shape),
    }


def main() -> int:
    """Measure every masking, unpacked and packed; print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="a shard folder")
    parser.add_argument("--objectives", nargs="+", default=["nsp"], help="nsp, sop, mlm (default: nsp)")
    parser.add_argument("--maskings", nargs="+", default=list(MASKINGS), help="default: all")
    parser.add_argument("--sequence-length", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--short-rate", type=float, default=None, help="share of short examples (default: the paper's)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of reading, for each row of the table")
    parser.add_argument("--training-rate", type=float, help="tokens/s of the training step to compare with")
    parser.add_argument("--json", type=Path, help="write the results here")
    arguments = parser.parse_args()

    results = []
    for objective in arguments.objectives:
        for masking in arguments.maskings:
            for pack in (False, True):
                settings = PretrainingSettings(
                    sequence_length=arguments.sequence_length,
                    objective=objective,
                    masking=masking,
                    short_sequence_rate=arguments.short_rate,
                    pack=pack,
                )
                results.append(
                    measure(arguments.folder, settings, arguments.batch_size, arguments.lanes, arguments.seconds)
                )
    rate = arguments.training_rate
    print_table(
        f"input pipeline, batch {arguments.batch_size} x {arguments.sequence_length}, {arguments.lanes} lanes",
        ["examples", "examples/s", "tokens/s", "fill", "masked", "first batch", *(["x training"] if rate else [])],
        [
            [
                f"{r['objective']}, {r['masking']}{', packed' if r['packed'] else ''}",
                f"{r['examples_per_s']:,.0f}",
                f"{r['tokens_per_s']:,.0f}",
                f"{r['fill']:.1%}",
                f"{r['masked']:.2%}",
                f"{r['seconds_to_first_batch']:.1f} s",
                *([f"{r['tokens_per_s'] / rate:.1f}"] if rate else []),
            ]
            for r in results
        ],
    )
    if arguments.json:
        facts = machine_facts(["tensorflow", "keras-bert-toolkit"])
        write_json(arguments.json, {"machine": facts, "results": results})
    return int(bool(rate) and min(r["tokens_per_s"] for r in results) < LEAST_RATIO * rate)


if __name__ == "__main__":
    sys.exit(main())
