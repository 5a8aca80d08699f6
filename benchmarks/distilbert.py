"""DistilBERT by the book: parameters and speed in LiteRT against BERT base, beside what its paper says.

Exports a two-label classifier of either shape with random weights (neither figure depends on them) as float32 and
dynamic_int8 and times the files in interleaved turns, each in a process of its own, batch 1, one thread.

  python benchmarks/distilbert.py --json distilbert.json
  (about 3 minutes on 2 cores)
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile

from keras_bert_tools.benchmark import measure
from peers.exported import RECIPES, build_preset
from report import machine_facts, print_table, write_json

PRESETS = {"bert": "bert_base_uncased", "distilbert": "distilbert_base_uncased"}
# Sanh et al. 2019: "40% less parameters", "60% faster".
FEWER, FASTER = 0.40, 0.60


def main() -> None:
    """Build, time, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[20, 128], metavar="N", help="in tokens")
    parser.add_argument("--runs", type=int, default=100, help="timed calls of each file and length (default 100)")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        parameters = {name: build_preset(preset, folder, name) for name, preset in PRESETS.items()}
        for recipe in RECIPES:
            files = [(folder / f"{name}_{recipe}.tflite", "litert") for name in PRESETS]
            base, small = measure(files, options.lengths, 1, options.runs)
            for before, after in zip(base["latency"], small["latency"], strict=True):
                seconds = {"bert": before["p50"], "distilbert": after["p50"]}
                faster = before["p50"] / after["p50"] - 1
                rows.append({"recipe": recipe, "tokens": after["tokens"], **seconds, "faster": faster})
    fewer = 1 - parameters["distilbert"] / parameters["bert"]
    counts = f"encoder: {parameters['distilbert']:,} of {parameters['bert']:,} parameters"
    print(f"{counts}: {fewer:.1%} fewer (published: {FEWER:.0%})")
    print_table(
        f"medians of {options.runs} calls; published: {FASTER:.0%} faster",
        ["recipe", "tokens", "BERT base", "DistilBERT", "faster by", "reached"],
        [
            [
                row["recipe"], str(row["tokens"]), f"{1e3 * row['bert']:.2f} ms", f"{1e3 * row['distilbert']:.2f} ms",
                f"{row['faster']:.0%}", "yes" if row["faster"] >= FASTER else "NO",
            ]
            for row in rows
        ],
    )  # fmt: skip
    if options.json:
        facts = machine_facts(["ai-edge-litert", "tensorflow", "keras"])
        write_json(options.json, {"parameters": parameters, "latency": rows, "machine": facts})


if __name__ == "__main__":
    main()
