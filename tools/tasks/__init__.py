"""What `finetune`, `evaluate` and `predict` do differently from task to task: one adapter each."""

from __future__ import annotations

import argparse
from typing import Any

from keras_bert.errors import KerasBertError

from .base import Answered, Evaluation, TaskAdapter, TrainingExamples
from .question_answering import QuestionAnswering
from .sentence_embedding import SentenceEmbedding
from .sequence_classification import SequenceClassification
from .token_classification import TokenClassification

ADAPTERS: dict[str, TaskAdapter] = {
    adapter.name: adapter
    for adapter in (SequenceClassification(), TokenClassification(), QuestionAnswering(), SentenceEmbedding())
}

__all__ = [
    "ADAPTERS",
    "Answered",
    "Evaluation",
    "TaskAdapter",
    "TrainingExamples",
    "add_reading_options",
    "chosen",
    "defaults",
    "given",
]


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """The options of all tasks that say how data files are read."""
    parser.add_argument(
        "--strict", action="store_true", help="stop at the first fault of a file that can be lived with"
    )
    group = parser.add_argument_group("tables (sequence_classification, sentence_embedding)")
    group.description = (
        "TSV (no quoting) or CSV (RFC 4180) with a header, or JSON lines; columns are found where `label` is the label "
        "and the rest is text"
    )
    for role in ("text", "pair", "label"):
        group.add_argument(f"--{role}-column", metavar="NAME", help=f"column of the {role}")
    for adapter in ADAPTERS.values():
        adapter.add_reading_options(parser.add_argument_group(f"data for {adapter.name}"))


def defaults(attribute: str) -> str:
    """The default that each task has for an option, for its help."""
    return ", ".join(f"{getattr(adapter, attribute)} for {adapter.name}" for adapter in ADAPTERS.values())


def given(value: Any) -> bool:
    """Whether an option of a task was given: each is None or False unless it is, and 0 is a value like another."""
    return value is not None and value is not False


def chosen(options: argparse.Namespace, task: str) -> TaskAdapter:
    """The adapter of a task.

    Raises:
        KerasBertError: there is none, or an option was given that belongs to another task.
    """
    if task not in ADAPTERS:
        raise KerasBertError(f"the task {task} cannot be run here: expected one of {', '.join(ADAPTERS)}")
    for other in ADAPTERS.values():
        if other.name == task:
            continue
        for name in set(other.option_names) - set(ADAPTERS[task].option_names):
            if given(getattr(options, name, None)):
                raise KerasBertError(f"--{name.replace('_', '-')} is no option of the task {task}, but of {other.name}")
    return ADAPTERS[task]
