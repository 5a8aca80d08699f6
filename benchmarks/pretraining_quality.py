"""Does pretraining learn: a small BERT from scratch on novels, beside tables of counts, and fine-tuned afterwards.

Everything goes through the command line of keras-bert, on one machine: a WordPiece vocabulary of 8,000 from the
training novels, shards of them and of the held-out ones, a run for each objective (MLM + NSP, MLM alone, MLM + SOP)
from the configuration bert_mini, and, where a folder of labelled texts is given, fine-tuning of the MLM + NSP result
and of the same network with random weights, each as it is best on the development split with the first seed: at one of
several learning rates, with adversarial training or without. Two more starts: random layers on the token table that was
counted before the run, which tells what training adds to counting; and the result once it has read the training texts
without their labels (configuration adapt), which takes minutes of its own. Accuracy is that of masked tokens of the
held-out novels; the tables of counts (pretraining_baselines.py) are asked for the same tokens. What a work folder
already holds is not done again.

Example:
    python benchmarks/pretraining_quality.py path/to/novels --work-dir runs --classify path/to/sentiment-mr
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from command import keras_bert
from pretraining_baselines import count_tables, masked_accuracy
from report import machine_facts, print_table, write_json

CONFIG = "bert_mini"
HELD_OUT = ("1342_pride_and_prejudice.txt", "974_the_secret_agent_a_simple_tale.txt")
# Objective -> what differs from the configuration file.
RUNS: dict[str, dict[str, str]] = {
    "nsp": {},
    "mlm": {"examples.objective": "mlm", "training.steps": "2200"},
    "sop": {"examples.objective": "sop", "training.steps": "2200"},
}
EVALUATION_BATCHES = 40
STARTS = ("pretrained", "adapted", "random", "counts")
ADVERSARIAL_AFTER = 1 / 3  # of the steps of fine-tuning; from the first on neither start learns by every seed
Setting = tuple[float, float]  # learning rate, size of adversarial moves


def prepare(novels: Path, held_out: Sequence[str], work: Path) -> None:
    """Vocabulary and shards."""
    files = sorted(novels.glob("*.txt"))
    training = [file for file in files if file.name not in held_out]
    if len(files) - len(training) != len(held_out):
        raise SystemExit(f"error: {novels} does not hold {', '.join(held_out)}")
    if not (work / "tokenizer").exists():
        sizes = ("--kind", "wordpiece", "--vocab-size", 8000)
        keras_bert("train-tokenizer", *training, *sizes, "--output", work / "tokenizer")
    common = ("--join-lines", "--tokenizer", work / "tokenizer")
    if not (work / "shards" / "manifest.json").exists():
        # One shard: NSP draws its random text from the documents of a shard, and of few one knows each by its names.
        keras_bert("prepare-data", *training, *common, "-o", work / "shards", "--shards", 1)
    if not (work / "held-out" / "manifest.json").exists():
        held = [novels / name for name in held_out]
        keras_bert("prepare-data", *held, *common, "-o", work / "held-out", "--shards", 1)


def pretrain(objective: str, work: Path, steps: int | None, settings: Sequence[str]) -> list[dict[str, Any]]:
    """Run, or finish, one objective; return its evaluations on the held-out novels."""
    changes = {"data.evaluation": work / "held-out", **RUNS[objective]}
    if steps is not None:
        changes["training.steps"] = str(steps)
    train(CONFIG, work / "shards", work / objective, changes, settings)
    lines = (work / objective / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == "evaluation"]


def train(config: str, shards: Path, run: Path, changes: dict[str, Any], settings: Sequence[str]) -> None:
    """`keras-bert pretrain` with changes of its configuration."""
    chosen = [f"{key}={value}" for key, value in changes.items()] + list(settings)
    options = [option for setting in chosen for option in ("--set", setting)]
    keras_bert("pretrain", config, "--data", shards, "--work-dir", run, *options)


def baselines(objective: str, work: Path) -> dict[str, float]:
    """What the tables of counts make of the tokens that the objective's evaluation masks."""
    from keras_bert.data.pretraining import PretrainingData, PretrainingSettings
    from keras_bert.tokenizers import Tokenizer

    settings = PretrainingSettings(sequence_length=64, objective=objective, mask_rate=0.15)
    data = PretrainingData(work / "held-out", settings, seed=0)
    batches = data.dataset(batch_size=32, lanes=1).take(EVALUATION_BATCHES).as_numpy_iterator()
    special = Tokenizer.from_pretrained(work / "held-out").special_ids
    return masked_accuracy(count_tables(work / "shards"), batches, special)


def draw(curves: dict[str, list[dict[str, Any]]], tables: dict[str, float], path: Path) -> None:
    """Masked accuracy over steps, the tables of counts as lines across."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for objective, records in curves.items():
        axes.plot([r["step"] for r in records], [r["mlm_accuracy"] for r in records], marker="o", label=objective)
    for name, style, label in (
        ("unigram", ":", "the commonest token"),
        ("left", "-.", "counts of two tokens"),
        ("both", "--", "counts with both neighbours"),
    ):
        axes.axhline(tables[name], color="grey", linestyle=style, label=label)
    axes.set(xlabel="steps of 32 x 64 tokens", ylabel="accuracy of masked tokens, held-out novels")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def bare_start(trained: Path, folder: Path, shards: Path | None = None) -> None:
    """The trained checkpoint's network with random weights, and its tokenizer; the token table counted on `shards`."""
    import keras

    import keras_bert as kb
    from keras_bert.data.pretraining import PretrainingData, PretrainingSettings
    from keras_bert.training.initial import start_from_counts
    from keras_bert.training.strategies import make_distribution

    keras.utils.set_random_seed(0)
    model = kb.PretrainingModel.from_pretrained(trained)
    encoder = kb.Encoder(model.encoder.config)
    if shards is not None:
        start_from_counts(encoder, PretrainingData(shards, PretrainingSettings()), make_distribution("one_device"))
    encoder.save_pretrained(folder, tokenizer=model.tokenizer)


def adapt(trained: Path, run: Path, data: Path, steps: int, settings: Sequence[str]) -> None:
    """Go on from a checkpoint on the training texts without their labels; the result is in `run`."""
    from keras_bert.data.tables import read_rows

    texts, shards = run.with_suffix(".txt"), run.with_suffix(".shards")
    if not (shards / "manifest.json").exists():
        texts.write_text("".join(f"{row.text}\n" for row in read_rows(data / "train.tsv")), encoding="utf-8")
        keras_bert("prepare-data", texts, "--format", "line", "--tokenizer", trained, "-o", shards, "--shards", 1)
    train("adapt", shards, run, {"model.init": trained, "training.steps": steps}, settings)
    minutes = json.loads((run / "report.json").read_text(encoding="utf-8"))["seconds"] / 60
    print(f"{run.name}: {steps} steps in {minutes:.1f} minutes")


def fine_tuned(
    work: Path, name: str, start: Path, data: Path, setting: Setting, epochs: int, seed: int
) -> dict[str, float]:
    """Accuracy by split of the epoch that is best on dev, with BERT's dropout (the configuration pretrains without)."""
    rate, adversarial = setting
    output = work / f"tuned-{name}-{rate:g}-{adversarial:g}-{epochs}-{seed}"
    if not (output / "report.json").exists():
        splits = [option for split in ("train", "dev", "test") for option in (f"--{split}", data / f"{split}.tsv")]
        training = ("--learning-rate", rate, "--epochs", epochs, "--dropout", 0.1, "--seed", seed)
        moves = ("--adversarial", adversarial, "--adversarial-after", ADVERSARIAL_AFTER)
        keras_bert("finetune", start, *splits, *training, *moves, "-o", output)
    scores = json.loads((output / "report.json").read_text(encoding="utf-8"))["scores"]
    return {split: scores[split]["accuracy"] for split in ("dev", "test")}


def compare_starts(
    starts: dict[str, Path], work: Path, data: Path, settings: Sequence[Setting], epochs: int, seeds: Sequence[int]
) -> dict[str, Any]:
    """Accuracy of each start: with the first seed in every setting, with the others in the one that is best on dev."""
    found: dict[str, Any] = {}
    rows = []
    for start, path in starts.items():
        one = (work, start, path, data)
        runs = {setting: [fine_tuned(*one, setting, epochs, seeds[0])] for setting in settings}
        best = max(runs, key=lambda setting: runs[setting][0]["dev"])
        runs[best] += [fine_tuned(*one, best, epochs, seed) for seed in seeds[1:]]
        for setting, results in runs.items():
            means = [f"{statistics.mean(run[split] for run in results):.4f}" for split in ("dev", "test")]
            each = " ".join(f"{run['test']:.4f}" for run in results)
            rows.append([start, *(f"{value:g}" for value in setting), *means, each, "*" * (setting == best)])
        found[start] = [{"setting": setting, "runs": results} for setting, results in runs.items()]
    header = ["start", "rate", "adversarial", "dev", "test", "test by seed", "best on dev"]
    print_table("accuracy after fine-tuning, mean over the seeds", header, rows)
    return found


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("novels", type=Path, help="folder of .txt files, hard-wrapped, one document each")
    parser.add_argument("--held-out", nargs="+", default=HELD_OUT, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--objectives", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument(
        "--steps", nargs="+", default=[], metavar="OBJECTIVE=STEPS", help="shorter or longer runs: nsp=2000 mlm=500"
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="of pretraining: training.precision=bfloat16"
    )
    parser.add_argument("--from-step", type=int, metavar="N", help="fine-tune this step's checkpoint, not the last")
    parser.add_argument("--classify", type=Path, help="folder with train.tsv, dev.tsv and test.tsv to fine-tune on")
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=STARTS, help="of it; default: %(default)s")
    parser.add_argument("--adapt", type=int, default=1000, metavar="STEPS", help="default: %(default)s")
    parser.add_argument("--rates", type=float, nargs="+", default=[1.5e-4, 3e-4, 6e-4], help="default: %(default)s")
    parser.add_argument(
        "--adversarial", type=float, nargs="+", default=[0.0, 0.02], help="of fine-tuning; default: %(default)s"
    )
    parser.add_argument("--epochs", type=int, default=6, help="of fine-tuning; default: %(default)s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    steps = {name: int(count) for name, _, count in (asked.partition("=") for asked in arguments.steps)}

    work = arguments.work_dir
    work.mkdir(parents=True, exist_ok=True)
    prepare(arguments.novels, arguments.held_out, work)
    curves = {
        objective: pretrain(objective, work, steps.get(objective), arguments.set) for objective in arguments.objectives
    }
    tables = {objective: baselines(objective, work) for objective in curves}
    draw(curves, tables[arguments.objectives[0]], work / "masked_accuracy.png")
    rows, figures = [], {}
    for objective, records in curves.items():
        report = json.loads((work / objective / "report.json").read_text(encoding="utf-8"))
        last, counts = records[-1], tables[objective]
        figures[objective] = {"evaluations": records, "tables": counts, "seconds": report["seconds"]}
        pairs = f"{last['sentence_accuracy']:.3f}" if "sentence_accuracy" in last else ""
        guesses = [f"{counts[name]:.4f}" for name in ("unigram", "left", "both")]
        ratio = f"{last['mlm_accuracy'] / counts['unigram']:.2f}"
        minutes = f"{report['seconds'] / 60:.1f}"
        rows.append([objective, str(last["step"]), minutes, f"{last['mlm_accuracy']:.4f}", *guesses, ratio, pairs])
    header = ["", "steps", "minutes", "accuracy", "unigram", "bigram", "both sides", "times unigram", "pairs"]
    print_table("masked tokens of the held-out novels", header, rows)
    print(f"curve: {work / 'masked_accuracy.png'}")
    if arguments.classify:
        from keras_bert.training.work_dir import WorkDir

        settings = list(itertools.product(arguments.rates, arguments.adversarial))
        trained, name = work / arguments.objectives[0], arguments.objectives[0]
        if arguments.from_step:
            trained, name = WorkDir(trained).checkpoint_path(arguments.from_step), f"{name}-{arguments.from_step}"
        places = {
            "pretrained": (name, trained),
            "adapted": (adapted := f"{name}-adapted-{arguments.adapt}", work / adapted),
            **{start: (start, work / start) for start in ("random", "counts")},
        }
        for start in arguments.starts:
            if start == "adapted":
                adapt(trained, work / adapted, arguments.classify, arguments.adapt, arguments.set)
            elif start != "pretrained":
                bare_start(trained, work / start, work / "shards" if start == "counts" else None)
        starts = dict(places[start] for start in arguments.starts)
        figures["fine-tuned"] = compare_starts(
            starts, work, arguments.classify, settings, arguments.epochs, arguments.seeds
        )
    if arguments.json:
        write_json(arguments.json, {"machine": machine_facts(["keras", "tensorflow"]), **figures})


if __name__ == "__main__":
    main()
