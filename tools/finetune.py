"""Train a checkpoint for a task: classification of texts or pairs, regression, tags of words, answers in contexts.

The best epoch on the development set is kept in OUT, a Hugging Face checkpoint with tokenizer and labels, beside
report.json. Without --dev a tenth of the training set, drawn from the seed, is held out.

example:
  keras-bert finetune path/to/checkpoint --train train.tsv --dev dev.tsv --test test.tsv -o out
  keras-bert finetune path/to/checkpoint --task token_classification --train train.conll -o out
  keras-bert finetune path/to/checkpoint --task question_answering --train train.json -o out --batch-size 16
"""

from __future__ import annotations

import argparse
import pathlib
import time
from collections.abc import Callable
from typing import Any

import keras

import keras_bert as kb
from keras_bert.data import batched_dataset
from keras_bert.errors import DataError

from . import options as shared
from .progress import FitProgress, progress_bar
from .report import print_table, write_report
from .tasks import ADAPTERS, Evaluation, TaskAdapter, add_reading_options, chosen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("checkpoint", help="directory of a checkpoint, or package:NAME/FOLDER of an installed package")
    parser.add_argument("--task", choices=ADAPTERS, default="sequence_classification", help="default: %(default)s")
    parser.add_argument("--train", required=True, metavar="FILE", help="labelled data; see below for each task")
    parser.add_argument("--dev", metavar="FILE", help="chooses the best epoch; default: a tenth of --train")
    parser.add_argument("--test", metavar="FILE", help="scored once, at the end")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="directory to write")
    parser.add_argument("--regression", action="store_true", help="labels are numbers to predict, not classes")
    parser.add_argument("--epochs", type=shared.positive(int), default=3)
    parser.add_argument("--batch-size", type=shared.positive(int), default=32)
    parser.add_argument("--learning-rate", type=shared.positive(float), default=5e-5, help="peak (default 5e-5)")
    parser.add_argument("--warmup", type=float, default=0.1, help="share of the steps it rises (default 0.1)")
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--average", type=float, default=0.1, help="average weights over this share of the steps (0.1)")
    lengths = ", ".join(f"{adapter.max_length} for {adapter.name}" for adapter in ADAPTERS.values())
    parser.add_argument("--max-length", type=shared.positive(int), help=f"longest input in tokens ({lengths})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--new-head", action="store_true", help="leave the checkpoint's own head unread")
    add_reading_options(parser)


def run(options: argparse.Namespace) -> int:
    """Train, keep the best epoch, score it, write the report."""
    started = time.time()
    keras.utils.set_random_seed(options.seed)
    output = pathlib.Path(options.output)
    task = chosen(options, options.task)
    train = task.read(options.train, options)
    if options.dev:
        dev = task.read(options.dev, options)
    else:
        train, dev = task.split(train, 0.1, options.seed)
    test = task.read(options.test, options) if options.test else None
    checkpoint = shared.checkpoint_path(options.checkpoint)
    arguments = task.model_arguments(train, options)
    for data in (train, dev, *([test] if test else [])):
        task.check(data, arguments.get("labels", []), options)
    model = task.model_class.from_pretrained(checkpoint, new_head=options.new_head, **arguments)
    if model.tokenizer is None:
        raise DataError(f"{checkpoint} holds no tokenizer: expected tokenizer.json or its vocabulary files")
    max_length = min(options.max_length or task.max_length, model.config.max_positions)
    examples = task.training_examples(model, train, max_length)
    dataset = batched_dataset(
        examples.texts,
        examples.targets,
        model.config,
        batch_size=options.batch_size,
        shuffle=True,
        seed=options.seed,
    )
    steps = options.epochs * int(dataset.cardinality())
    model.compile(
        kb.adamw(
            options.learning_rate,
            steps=steps,
            warmup=options.warmup,
            weight_decay=options.weight_decay,
            average=options.average,
        )
    )
    best = BestEpoch(lambda model: _evaluate(task, model, dev, max_length, lambda _: None).scores, output)
    averaged = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if options.average else []
    callbacks = [*averaged, best, FitProgress(steps)]
    history = model.fit(dataset, epochs=options.epochs, shuffle=False, verbose=0, callbacks=callbacks)
    seconds = time.time() - started
    model = task.model_class.from_pretrained(output)
    tested = None
    if test:
        with progress_bar("evaluating", len(test)) as advance:
            tested = _evaluate(task, model, test, max_length, advance)
    results = {"dev": best.scores, **({"test": tested.scores} if tested else {})}
    report = {
        "checkpoint": str(options.checkpoint),
        "task": task.name,
        "options": vars(options),
        "labels": list(arguments.get("labels", [])),
        "examples": {"train": len(train), "dev": len(dev)},
        "truncated": examples.texts.truncated,
        "notes": examples.notes,
        "history": history.history,
        "best_epoch": best.epoch,
        "scores": results,
        "test_details": tested.details if tested else {},
        "parameters": model.count_params(),
        "seconds": round(seconds, 1),
        "seed": options.seed,
    }
    write_report(output / "report.json", "finetune", report)
    for note in examples.notes:
        print(note)
    names = list(best.scores)
    rows = [[split, *(f"{values.get(name, float('nan')):.4f}" for name in names)] for split, values in results.items()]
    print_table(
        f"best epoch {best.epoch} of {options.epochs}, {seconds:.0f} s, written to {output}", ["", *names], rows
    )
    return 0


def _evaluate(task: TaskAdapter, model: Any, data: Any, max_length: int, on_item: Callable[[int], None]) -> Evaluation:
    predictions = task.predict(model, data, batch_size=64, max_length=max_length, on_item=on_item)
    return task.evaluate(predictions, data, model)


class BestEpoch(keras.callbacks.Callback):
    """Scores the model after each epoch and saves it whenever it is no worse than before.

    Args:
        score: model -> metrics by name, the first the one to judge by.
        output: directory to save to.

    Attributes:
        epoch: number of the best epoch so far, from 1. scores: its metrics.
    """

    def __init__(self, score: Callable[[Any], dict[str, float]], output: pathlib.Path) -> None:
        super().__init__()
        self.score, self.output = score, output
        self.epoch = 0
        self.scores: dict[str, float] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        found = self.score(self.model)
        for name, value in found.items():
            logs[f"dev_{name}"] = value
        first = next(iter(found))
        # Of equal ones the later: a small development set has few scores, and training goes on learning.
        if not self.epoch or found[first] >= self.scores[first]:
            self.epoch, self.scores = epoch + 1, found
            self.model.save_pretrained(self.output)
