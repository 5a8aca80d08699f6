"""Train a checkpoint on labelled texts: classification of one text or a pair, or regression.

The best epoch on the development set is kept in OUT, a Hugging Face checkpoint with tokenizer and labels, beside
report.json. Without --dev a tenth of the training set, drawn from the seed, is held out.

example:
  keras-bert finetune path/to/checkpoint --train train.tsv --dev dev.tsv --test test.tsv -o out
"""

from __future__ import annotations

import argparse
import pathlib
import time
from typing import Any

import keras

import keras_bert as kb
from keras_bert.data import batched_dataset, read_labelled_texts, split_labelled_texts, tokenize
from keras_bert.errors import DataError

from . import options as shared
from .progress import FitProgress
from .report import print_table, write_report
from .scoring import predict, scores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("checkpoint", help="directory of a checkpoint, or package:NAME/FOLDER of an installed package")
    parser.add_argument("--train", required=True, metavar="FILE", help="TSV or CSV with a header, or JSON lines")
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
    parser.add_argument("--max-length", type=shared.positive(int), default=128, help="tokens kept of a text (128)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--new-head", action="store_true", help="leave the checkpoint's own head unread")
    shared.add_column_options(parser)


def run(options: argparse.Namespace) -> int:
    """Train, keep the best epoch, score it, write the report."""
    started = time.time()
    keras.utils.set_random_seed(options.seed)
    output = pathlib.Path(options.output)
    train, dev = _read(options)
    problem_type = "regression" if options.regression else "single_label_classification"
    labels = ["value"] if options.regression else train.label_names()
    if len(labels) < 2 and not options.regression:
        raise DataError(f"{train.path} has one label only, {labels[0]!r}: expected at least two")
    checkpoint = shared.checkpoint_path(options.checkpoint)
    model = kb.SequenceClassifier.from_pretrained(
        checkpoint, labels=labels, problem_type=problem_type, new_head=options.new_head
    )
    if model.tokenizer is None:
        raise DataError(f"{checkpoint} holds no tokenizer: expected tokenizer.json or its vocabulary files")
    max_length = min(options.max_length, model.config.max_positions)
    texts = tokenize(model.tokenizer, train.texts, train.pairs, max_length=max_length)
    dataset = batched_dataset(
        texts,
        train.targets(labels, problem_type),
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
    best = BestEpoch(dev, output, max_length)
    averaged = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if options.average else []
    callbacks = [*averaged, best, FitProgress(steps)]
    history = model.fit(dataset, epochs=options.epochs, shuffle=False, verbose=0, callbacks=callbacks)
    seconds = time.time() - started
    model = kb.SequenceClassifier.from_pretrained(output)
    results = {"dev": best.scores}
    if options.test:
        test = read_labelled_texts(options.test, shared.columns(options))
        results["test"] = scores(predict(model, test, max_length=max_length), test, labels, problem_type)
    report = {
        "checkpoint": str(options.checkpoint),
        "options": vars(options),
        "labels": labels,
        "examples": {"train": len(train), "dev": len(dev)},
        "truncated": texts.truncated,
        "history": history.history,
        "best_epoch": best.epoch,
        "scores": results,
        "parameters": model.count_params(),
        "seconds": round(seconds, 1),
        "seed": options.seed,
    }
    write_report(output / "report.json", "finetune", report)
    if texts.truncated:
        print(f"{texts.truncated} of {len(train)} training texts were cut to {max_length} tokens")
    names = list(best.scores)
    rows = [[split, *(f"{values[name]:.4f}" for name in names)] for split, values in results.items()]
    print_table(
        f"best epoch {best.epoch} of {options.epochs}, {seconds:.0f} s, written to {output}", ["", *names], rows
    )
    return 0


def _read(options: argparse.Namespace) -> tuple[Any, Any]:
    columns = shared.columns(options)
    train = read_labelled_texts(options.train, columns)
    if options.dev:
        return train, read_labelled_texts(options.dev, columns)
    if len(train) < 2:
        raise DataError(f"{train.path} holds one example: expected at least two, one to train and one to choose by")
    return split_labelled_texts(train, 0.1, options.seed)


class BestEpoch(keras.callbacks.Callback):
    """Scores the development set after each epoch and saves the model whenever it is better than before.

    Attributes:
        epoch: number of the best epoch so far, from 1. scores: its metrics.
    """

    def __init__(self, dev: Any, output: pathlib.Path, max_length: int) -> None:
        super().__init__()
        self.dev, self.output, self.max_length = dev, output, max_length
        self.epoch = 0
        self.scores: dict[str, float] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        model = self.model
        outputs = kb.data.predict_logits(
            model, self.dev.texts, self.dev.pairs, batch_size=64, max_length=self.max_length
        )
        found = scores(outputs, self.dev, model.labels, model.problem_type)
        for name, value in found.items():
            logs[f"dev_{name}"] = value
        first = next(iter(found))
        if not self.epoch or found[first] > self.scores[first]:
            self.epoch, self.scores = epoch + 1, found
            model.save_pretrained(self.output)
