"""Answer texts given on the command line, in a file, or on standard input, one a line.

What the answer is, the model's task decides: a label, the entities in the text, or the answer to a question. A tab in a
line parts the two texts of a pair, or a question from its context.

example:
  keras-bert predict out "an hour I will never get back"
  keras-bert predict out --input texts.txt --json
  keras-bert predict qa-model "What is the capital of France?" --pair "Paris is the capital of France."
"""

from __future__ import annotations

import argparse
import json
import sys

from keras_bert.data.text_file import open_text
from keras_bert.errors import DataError

from . import options as shared
from .evaluate import saved_adapter
from .tasks import ADAPTERS, TaskAdapter
from .tasks.base import show_problems


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("model", help="checkpoint directory of a fine-tuned model")
    parser.add_argument("text", nargs="*", help="texts; none: lines of --input or of standard input")
    parser.add_argument("--pair", help="second text, or the context of the question, for one text")
    parser.add_argument("--input", metavar="FILE", help="UTF-8, one text a line")
    parser.add_argument("--batch-size", type=shared.positive(int), default=64)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with all that the model says")
    group = parser.add_argument_group("options of some tasks")
    for adapter in ADAPTERS.values():
        adapter.add_answering_options(group)


def run(options: argparse.Namespace) -> int:
    """Read, predict, print."""
    path = shared.checkpoint_path(options.model)
    task = saved_adapter(path, options)
    texts, pairs = _inputs(options, task)
    _check_pairs(task, pairs)
    for answer in task.answer(task.open_trained(path), texts, pairs, options):
        print(json.dumps(answer.record, ensure_ascii=False) if options.json else answer.line)
    return 0


def _check_pairs(task: TaskAdapter, pairs: list[str] | None) -> None:
    if pairs is None and task.reads_pairs == "must":
        raise DataError(f"{task.name} takes a question and its context: pass --pair, or part them by a tab")
    if pairs is not None and task.reads_pairs == "never":
        raise DataError(f"{task.name} takes one text, not a pair")


def _inputs(options: argparse.Namespace, task: TaskAdapter) -> tuple[list[str], list[str] | None]:
    """Texts and their pairs."""
    if options.text:
        if options.pair is not None and len(options.text) != 1:
            raise DataError(f"--pair goes with one text, got {len(options.text)}")
        return options.text, None if options.pair is None else [options.pair]
    name = options.input or "standard input"
    lines = list(enumerate(_lines(options.input), start=1))
    blank = [f"{name}, line {number}: nothing but blanks; left out" for number, line in lines if not line.strip()]
    show_problems(name, blank)
    parts = task.reads_pairs != "never"
    rows = [(number, line.split("\t") if parts else [line]) for number, line in lines if line.strip()]
    if not rows:
        raise DataError(f"{name} holds no text")
    width = len(rows[0][1])
    for number, row in rows:
        if len(row) != width or width > 2:
            expected = {1: "one text", 2: "two texts parted by a tab"}.get(width, "one text, or two parted by a tab")
            raise DataError(f"{name}, line {number}: expected {expected}, as in all lines, got {len(row)}")
    return [row[0] for _, row in rows], [row[1] for _, row in rows] if width == 2 else None


def _lines(path: str | None) -> list[str]:
    """Lines without their ends; nothing else parts a text."""
    if path:
        with open_text(path) as file:
            return [line.rstrip("\r\n") for line in file]
    try:
        return [line.rstrip("\r\n") for line in sys.stdin]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"standard input cannot be read: {error}") from error
