"""Train a small model by what a large one says about the same examples.

TEACHER is a checkpoint trained for classification, tagging or answering. The student is started from some of its
layers (--layers 3: three, spread evenly; --layers 0,2,4: these), or is a checkpoint of its own (--student), of any
family that reads with the same vocabulary or a part of it; or, with both, some layers of that one. It learns the
teacher's logits at a temperature and the labels; if asked, hidden states and attention scores (TinyBERT) or relations
of queries, keys and values (MiniLMv2), which fit students of any width. The best epoch on the development set is kept
in OUT beside report.json.

examples:
  keras-bert distill teacher --layers 3 --train train.tsv --dev dev.tsv --test test.tsv -o student
  keras-bert distill teacher --student small --relations 1 --train train.tsv -o student --epochs 6
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from typing import Any

import keras

from keras_bert.models.structure import keep_layers, spread_layers

from . import options as shared
from .compression.job import Job, add_data_options, check_apart, finish, open_job, require
from .compression.training import (
    EPOCHS,
    add_loss_options,
    add_training_options,
    losses_from,
    settings_from,
    train,
)
from .quiet import quiet_imports


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("teacher", help="directory of a trained checkpoint")
    parser.add_argument("--layers", type=shared.layers, metavar="N|I,J,...", help="start from these layers")
    parser.add_argument("--student", metavar="DIR", help="start from another checkpoint than the teacher")
    parser.add_argument("--new-head", action="store_true", help="of --student: leave the head that it has unread")
    add_data_options(parser, required=True)
    add_loss_options(parser)
    add_training_options(parser, epochs=EPOCHS["distill"])


def run(options: argparse.Namespace) -> int:
    """Train the student, score both, write the report."""
    require(options.layers is not None or options.student, "no student: expected --layers, --student or both")
    require(options.epochs > 0, f"--epochs: expected a number above 0, got {options.epochs}")
    losses = losses_from(options)
    require(options.student or not options.new_head, "--new-head is of --student")
    require(any(losses.weights.values()), "the weights of the losses are all 0: expected one above")
    output = pathlib.Path(options.output)
    check_apart(output, options.teacher, options.student)
    keras.utils.set_random_seed(options.seed)
    opened = open_job(options.teacher, options)
    student, origin = _student(opened, options)
    smaller = student.count_params() <= opened.model.count_params()
    require(
        smaller,
        f"the student has {student.count_params():,} parameters, more than the teacher's"
        f" {opened.model.count_params():,}: expected a smaller one",
    )
    trained = train(
        opened.task,
        student,
        opened.train,
        opened.dev,
        output,
        settings_from(options),
        losses,
        options,
        teacher=opened.model,
        unlabelled=opened.unlabelled,
        logits_file=options.teacher_logits,
    )
    values = {
        "teacher": str(options.teacher),
        "student": origin,
        "losses": dataclasses.asdict(losses),
        "trained": dataclasses.asdict(trained),
    }
    finish("distill", options, opened, opened.task.open_trained(output), values)
    return 0


def _student(opened: Job, options: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The student before training, and where it comes from: layers of the teacher, another checkpoint, layers of it."""
    student, origin = opened.model, dict[str, Any]()
    if options.student:
        student, origin["checkpoint"] = _other_checkpoint(opened, options), str(options.student)
    if options.layers is not None:
        chosen = options.layers
        layers = spread_layers(student.config.num_layers, chosen) if isinstance(chosen, int) else list(chosen)
        student, origin["layers"] = keep_layers(student, layers), layers
    return student, origin


def _other_checkpoint(opened: Job, options: argparse.Namespace) -> Any:
    """--student, as a model for the teacher's labels."""
    teacher, path = opened.model, shared.checkpoint_path(options.student)
    with quiet_imports():
        student = opened.task.model_class.from_pretrained(path, new_head=options.new_head, **teacher.head_config())
    if student.tokenizer is None:
        student.tokenizer = teacher.tokenizer
        student.tokenizer.check_vocabulary(student.config.vocab_size)
    return student
