"""Train a checkpoint for a task: classification of texts or pairs, several labels a text, regression, tags of words,
answers in contexts, sentence vectors.

The best epoch on the development set is kept in OUT, a Hugging Face checkpoint with tokenizer and labels, beside
report.json and a model card. Without --dev a tenth of the training set (--hold-out), drawn from the seed, is held out;
with --hold-out 0 all of it is trained on, and the last epoch kept. Where 1% or more of the weights of a checkpoint's
layers are zeros, as after `prune --sparsity`, the zeros stay.

example:
  keras-bert finetune path/to/checkpoint --train train.tsv --dev dev.tsv --test test.tsv -o out
  keras-bert finetune path/to/checkpoint --train train.tsv --multi-label -o out --seeds 3
  keras-bert finetune path/to/checkpoint --task token_classification --train train.conll -o out
  keras-bert finetune path/to/checkpoint --task question_answering --train train.json -o out --batch-size 16
  keras-bert finetune path/to/checkpoint --task sentence_embedding --train pairs.tsv -o out
"""

from __future__ import annotations

import argparse
import json
import pathlib
from typing import Any

from keras_bert.errors import KerasBertError

from . import options as shared
from .details import check_plots, print_details, write_plots
from .finetuning.arguments import add_training_options
from .finetuning.seeds import best, summary, train_seeds
from .finetuning.training import Splits, Trained, forget_state, train
from .report import print_table, write_report
from .tasks import ADAPTERS, TaskAdapter, add_reading_options, chosen, defaults

REPORT = "report.json"
# Options that the model card tells, those of other tasks and those that are off left out.
SETTINGS = (
    *("epochs", "batch_size", "learning_rate", "warmup", "weight_decay", "max_length", "precision", "average"),
    *("layer_decay", "unfreeze", "restart_layers", "accumulate", "patience", "dropout", "adversarial"),
    *("adversarial_after", "label_smoothing", "class_weights"),
    *("long_texts", "overlap", "max_windows", "loss", "scale", "max_score", "scheme", "mirrored", "new_head"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("checkpoint", help="directory of a checkpoint, or package:NAME/FOLDER of an installed package")
    parser.add_argument("--task", choices=ADAPTERS, default="sequence_classification", help="default: %(default)s")
    parser.add_argument("--train", required=True, metavar="FILE", help="labelled data; see below for each task")
    parser.add_argument("--dev", metavar="FILE", help="chooses the best epoch; default: a share of --train")
    parser.add_argument(
        "--hold-out",
        type=shared.share(),
        default=0.1,
        metavar="SHARE",
        help="of --train, to choose the epoch by where there is no --dev (default 0.1); 0: train on all, keep the last"
        " epoch",
    )
    parser.add_argument("--test", metavar="FILE", help="scored once, at the end")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="directory to write")
    lengths = f"longest input in tokens ({defaults('max_length')})"
    parser.add_argument("--max-length", type=shared.positive(int), help=lengths)
    parser.add_argument("--plots", action="store_true", help="also draw confusion.png (extra plots)")
    add_training_options(parser)
    add_reading_options(parser)
    group = parser.add_argument_group("options of some tasks")
    for adapter in ADAPTERS.values():
        adapter.add_training_options(group)


def run(options: argparse.Namespace) -> int:
    """Train, keep the best epoch, score it, write the report."""
    output = pathlib.Path(options.output)
    task = chosen(options, options.task)
    if options.plots:
        check_plots()
    if options.resume and _is_finished(output / REPORT, options):
        print(f"{output / REPORT}: this training is finished; nothing is left to do")
        return 0
    if options.patience and not options.dev and not options.hold_out:
        raise KerasBertError("--patience counts from the best epoch: pass --dev, or a --hold-out above 0")
    data = _read(task, options)
    schedule = task.schedule(data.train, len(data.labels))
    options.epochs = options.epochs or schedule.epochs
    options.dropout = schedule.dropout if options.dropout is None else options.dropout
    for part in _parts(data).values():
        task.check(part, data.labels, options)
    runs = (
        train_seeds(task, data, options, output)
        if options.seeds > 1
        else [train(task, data, options, options.seed, output)]
    )
    report = _report(task, data, options, runs)
    write_report(output / REPORT, "finetune", report)
    forget_state(output)
    _write_card(task, output, report)
    if options.plots:
        write_plots(output, report["test_details"])
    _show(options, runs)
    return 0


def _read(task: TaskAdapter, options: argparse.Namespace) -> Splits:
    """The splits; what is held out is drawn from the first seed, the same for all."""
    train_data = task.read(options.train, options)
    # A label all of whose examples are held out is still the model's.
    arguments = task.model_arguments(train_data, options)
    dev = None
    if options.dev:
        dev = task.read(options.dev, options)
    elif options.hold_out:
        train_data, dev = task.split(train_data, options.hold_out, options)
    return Splits(train_data, dev, task.read(options.test, options) if options.test else None, arguments)


def _parts(data: Splits) -> dict[str, Any]:
    """Those that there are, by name."""
    found = {"train": data.train, "dev": data.dev, "test": data.test}
    return {name: part for name, part in found.items() if part is not None}


def _is_finished(path: pathlib.Path, options: argparse.Namespace) -> bool:
    """Whether the report is of a training with these options; those left open are what they were then."""
    try:
        report = json.loads(path.read_text("utf-8"))
        before = report["options"] if report["job"] == "finetune" else None
    except (OSError, ValueError, KeyError, TypeError):
        return False
    free = ("resume", "output", "tensorboard", "plots")
    asked = {name: value for name, value in vars(options).items() if name not in free and value is not None}
    return isinstance(before, dict) and all(before.get(name) == value for name, value in asked.items())


def _report(task: TaskAdapter, data: Splits, options: argparse.Namespace, runs: list[Trained]) -> dict[str, Any]:
    kept = best(runs)
    names = list(dict.fromkeys(name for epoch in kept.history for name in epoch))
    report = {
        "checkpoint": str(options.checkpoint),
        "task": task.name,
        "options": vars(options),
        "labels": list(data.labels),
        "examples": {name: len(part) for name, part in _parts(data).items()},
        "truncated": kept.truncated,
        "notes": kept.notes,
        "history": {name: [epoch.get(name) for epoch in kept.history] for name in names},
        "best_epoch": kept.epoch,
        "scores": kept.scores,
        "test_details": kept.test.details if kept.test else {},
        "parameters": kept.parameters,
        "seconds": kept.seconds,
        "seed": kept.seed,
    }
    if len(runs) > 1:
        report["seeds"] = {str(run.seed): {"best_epoch": run.epoch, **run.scores} for run in runs}
        report["summary"] = summary(runs)
    return report


def _write_card(task: TaskAdapter, output: pathlib.Path, report: dict[str, Any]) -> None:
    """The model card, from the facts of the run."""
    from keras_bert.checkpoints.card import write_card

    names = ("checkpoint", "examples", "scores", "best_epoch", "seed", "summary", "parameters")
    facts = {name: report[name] for name in names if name in report}
    facts["settings"] = {name: report["options"][name] for name in SETTINGS if report["options"][name]}
    write_card(output, task.model_class_of(output).from_pretrained(output), facts)


def _show(options: argparse.Namespace, runs: list[Trained]) -> None:
    kept = best(runs)
    for note in kept.notes:
        print(note)
    names = list(next(iter(kept.scores.values()), []))

    def row(title: str, values: dict[str, float]) -> list[str]:
        return [title, *(f"{values.get(name, float('nan')):.4f}" for name in names)]

    if len(runs) > 1:
        rows = []
        for split, found in summary(runs).items():
            rows += [row(f"{split}, seed {run.seed}", run.scores[split]) for run in runs]
            rows.append(row(f"{split}, mean", {name: value["mean"] for name, value in found.items()}))
            rows.append(row(f"{split}, deviation", {name: value["deviation"] for name, value in found.items()}))
        seconds = sum(run.seconds for run in runs)
        print_table(
            f"{len(runs)} seeds, {seconds:.0f} s, seed {kept.seed} kept in {options.output}", ["", *names], rows
        )
    else:
        rows = [row(split, values) for split, values in kept.scores.items()]
        epoch = f"{'best' if kept.dev else 'last'} epoch {kept.epoch} of {options.epochs}"
        title = f"{epoch}, {kept.seconds:.0f} s, written to {options.output}"
        print_table(title, ["", *names], rows)
    if kept.test:
        print_details(kept.test.details)
