"""Score a model on labelled data by the metrics of its task: GLUE's, CoNLL entity F1, or SQuAD's.

MODEL is a checkpoint directory, or a .tflite file written by `keras-bert export`, which is run by keras-bert-edge. The
task is the one that it was saved for.

example:
  keras-bert evaluate out --data test.tsv
  keras-bert evaluate model.tflite --data test.tsv --json
"""

from __future__ import annotations

import argparse
import json
import pathlib
from typing import Any

from keras_bert.checkpoints import open_checkpoint, stored_task
from keras_bert.errors import KerasBertError, MissingExtraError

from . import options as shared
from .details import check_plots, print_details, write_plots
from .progress import progress_bar
from .quiet import quiet_imports
from .report import print_table, write_report
from .tasks import ADAPTERS, Evaluation, TaskAdapter, add_reading_options, chosen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("model", help="checkpoint directory or .tflite file")
    parser.add_argument("--data", required=True, metavar="FILE", help="labelled data; see below for each task")
    parser.add_argument("--batch-size", type=shared.positive(int), default=64)
    parser.add_argument(
        "--max-length",
        type=shared.positive(int),
        help="longest input in tokens; default: all that fit, questions 384; a .tflite file has its own",
    )
    parser.add_argument("--report", metavar="FILE", help="also write scores, tables and answers as JSON to FILE")
    parser.add_argument("--plots", action="store_true", help="draw confusion.png beside the report (extra plots)")
    parser.add_argument("--json", action="store_true", help="print the scores as one line of JSON")
    add_reading_options(parser)


def run(options: argparse.Namespace) -> int:
    """Score the model and print the result."""
    on_edge = pathlib.Path(options.model).suffix == ".tflite"
    if on_edge and options.max_length:
        raise KerasBertError("--max-length is for checkpoints: a .tflite file has its own")
    if options.plots:
        if not options.report:
            raise KerasBertError("--plots draws beside the report: pass --report too")
        check_plots()
    task, data, found = _on_edge(options) if on_edge else _in_keras(options)
    if options.report:
        report = {"model": options.model, "data": options.data, "task": task.name}
        write_report(options.report, "evaluate", {**report, "scores": found.scores, "details": found.details})
        if options.plots:
            write_plots(pathlib.Path(options.report).parent, found.details)
    if options.json:
        print(json.dumps(found.scores))
    else:
        title = f"{options.model} on {len(data)} {task.unit}"
        print_table(title, list(found.scores), [[f"{value:.4f}" for value in found.scores.values()]])
        print_details(found.details)
    return 0


def saved_adapter(path: pathlib.Path, options: argparse.Namespace) -> TaskAdapter:
    """The adapter of the task that a checkpoint was saved for; the classifier's where that task has none."""
    task = stored_task(open_checkpoint(path))
    return chosen(options, task if task in ADAPTERS else "sequence_classification")


def _in_keras(options: argparse.Namespace) -> tuple[TaskAdapter, Any, Evaluation]:
    path = shared.checkpoint_path(options.model)
    task = saved_adapter(path, options)
    follow_model(options, open_checkpoint(path).raw_config.get("problem_type"))
    data = task.read(options.data, options)
    with quiet_imports():
        model = task.open_trained(path)
    task.check(data, getattr(model, "labels", ()), options)
    with progress_bar("evaluating", len(data)) as advance:
        predictions = task.predict(
            model, data, batch_size=options.batch_size, max_length=options.max_length, on_item=advance
        )
    return task, data, task.evaluate(predictions, data, model)


def follow_model(options: argparse.Namespace, problem_type: str | None) -> None:
    """What the labels of the data are, the model says."""
    options.multi_label = problem_type == "multi_label_classification"
    options.regression = problem_type == "regression"


def _on_edge(options: argparse.Namespace) -> tuple[TaskAdapter, Any, Evaluation]:
    """Raises MissingExtraError where keras-bert-edge is not installed, KerasBertError where it refuses the file."""
    try:
        import keras_bert_edge as edge
    except ModuleNotFoundError:
        raise MissingExtraError(
            "running a .tflite file needs the extra edge: pip install keras-bert-toolkit[edge]"
        ) from None
    try:
        with quiet_imports():
            runner = edge.load(options.model)
        task = chosen(options, runner.task)
        follow_model(options, runner.problem_type)
        data = task.read(options.data, options)
        task.check(data, runner.labels, options)
        with progress_bar("evaluating", len(data)) as advance:
            predictions = task.edge_predict(runner, data, advance)
    except edge.EdgeError as error:
        raise KerasBertError(str(error)) from error
    return task, data, task.evaluate(predictions, data, runner)
