"""What `distill`, `prune` and `quantize` have in common: a trained model, its data, and the report at the end."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from keras_bert.checkpoints import open_checkpoint
from keras_bert.errors import DataError, KerasBertError

from .. import options as shared
from ..evaluate import follow_model, saved_adapter
from ..quiet import quiet_imports
from ..report import print_table, write_report
from ..tasks import TaskAdapter, add_reading_options
from ..texts import check_pairs, read_texts
from .card import write_card
from .training import evaluate

TASKS = ("sequence_classification", "token_classification", "question_answering")


@dataclasses.dataclass(frozen=True)
class Job:
    """A trained model with its task and data; data are None where no file was given."""

    task: TaskAdapter
    model: Any
    train: Any
    dev: Any
    test: Any
    unlabelled: Any


def add_data_options(parser: argparse.ArgumentParser, *, required: bool, output: str = "directory to write") -> None:
    """--train, --dev, --test, -o, what `output` says, and how files are read."""
    parser.add_argument("--train", required=required, metavar="FILE", help="labelled data of the model's task")
    parser.add_argument("--dev", metavar="FILE", help="chooses the best epoch; default: a tenth of --train")
    parser.add_argument("--test", metavar="FILE", help="scored once, before and after")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help=output)
    add_reading_options(parser)


def check_apart(output: pathlib.Path, *inputs: str | None) -> None:
    """Raise KerasBertError where `output`, a folder that training writes, is one of the checkpoints that it reads."""
    for name in filter(None, inputs):
        require(
            output.resolve() != shared.checkpoint_path(name).resolve(),
            f"{output} is the model itself, which the trained one would overwrite: name another folder",
        )


def open_job(path: str, options: argparse.Namespace) -> Job:
    """The trained model at `path` and the data that the options name, checked against it.

    Raises:
        KerasBertError: no trained model of a task, no tokenizer, labels that it does not know.
    """
    checkpoint = shared.checkpoint_path(path)
    task = saved_adapter(checkpoint, options)
    follow_model(options, open_checkpoint(checkpoint).raw_config.get("problem_type"))
    train = task.read(options.train, options) if options.train else None
    dev = task.read(options.dev, options) if options.dev else None
    test = task.read(options.test, options) if options.test else None
    if train is not None and dev is None:
        train, dev = task.split(train, 0.1, options)
    model = _open_model(checkpoint, task)
    for data in (train, dev, test):
        if data is not None:
            task.check(data, getattr(model, "labels", ()), options)
    return Job(task, model, train, dev, test, _unlabelled(task, model, train, options))


def _unlabelled(task: TaskAdapter, model: Any, train: Any, options: argparse.Namespace) -> Any:
    """The texts of --unlabelled, as `TaskAdapter.unlabelled` has them."""
    path = options.unlabelled
    if not path:
        return None
    require(train is not None, "--unlabelled is read beside --train: expected both")
    texts, pairs = read_texts(path, task)
    check_pairs(task, pairs, f"part them by a tab in {path}")
    if task.reads_pairs == "may" and (pairs is None) != (train.pairs is None):
        if pairs is None:
            raise DataError(f"{path} holds single texts: expected two parted by a tab, as {train.path} has two")
        raise DataError(f"{path} holds pairs of texts: expected single texts, as in {train.path}")
    return task.unlabelled(path, model, texts, pairs)


def open_teacher(opened: Job, path: str, options: argparse.Namespace) -> Any:
    """Another model, to learn from, of the job's task and labels.

    Raises:
        KerasBertError: it is of another task, or its labels are others or in another order.
    """
    checkpoint = shared.checkpoint_path(path)
    task = saved_adapter(checkpoint, options)
    require(task.name == opened.task.name, f"{checkpoint} was trained for {task.name}: expected {opened.task.name}")
    model = _open_model(checkpoint, task)
    theirs, own = (list(getattr(m, "labels", ())) for m in (model, opened.model))
    require(theirs == own, f"the labels of {checkpoint} are {theirs}: expected those of the model, {own}")
    return model


def _open_model(checkpoint: pathlib.Path, task: TaskAdapter) -> Any:
    with quiet_imports():
        model = task.open_trained(checkpoint)
    require(
        task.name in TASKS and type(model) is task.model_class,
        f"{checkpoint} is a {type(model).__name__}: expected a model for {', '.join(TASKS)}",
    )
    if model.tokenizer is None:
        raise DataError(f"{checkpoint} holds no tokenizer: expected tokenizer.json or its vocabulary files")
    return model


def finish(
    job: str,
    options: argparse.Namespace,
    opened: Job,
    result: Any,
    values: Mapping[str, Any],
) -> None:
    """Score both models on the test set, or else the development set; write report.json; print a table.

    Args:
        result: the new model as it was saved.
        values: what else the report shall hold.
    """
    output = pathlib.Path(options.output)
    split, data = ("test", opened.test) if opened.test is not None else ("dev", opened.dev)
    scores: dict[str, dict[str, float]] = {}
    if data is not None:
        for name, model in (("before", opened.model), ("after", result)):
            scores[name] = evaluate(opened.task, model, data, options.max_length).scores
    parameters = {"before": opened.model.count_params(), "after": result.count_params()}
    report = {
        "task": opened.task.name,
        "options": vars(options),
        "parameters": parameters,
        "scored_on": split if data is not None else None,
        "scores": scores,
        "config": result.config.to_dict(),
        "seed": options.seed,
        **values,
    }
    write_report(output / "report.json", job, report)
    write_card(output, job, result, parameters, scores)
    judged = next(iter(scores["after"])) if scores else None
    header = ["", "parameters", *([f"{judged} ({split})"] if judged else [])]
    rows = [
        [name, f"{parameters[name]:,}", *([f"{scores[name][judged]:.4f}"] if judged else [])] for name in parameters
    ]
    print_table(f"written to {output}", header, rows)


def require(condition: bool, message: str) -> None:
    """Raise KerasBertError with `message` unless `condition`."""
    if not condition:
        raise KerasBertError(message)
