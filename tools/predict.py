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
import pathlib
import sys

from keras_bert.errors import DataError

from . import options as shared
from .evaluate import saved_adapter
from .tasks import TaskAdapter
from .tasks.base import show_problems


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("model", help="checkpoint directory of a fine-tuned model")
    parser.add_argument("text", nargs="*", help="texts; none: lines of --input or of standard input")
    parser.add_argument("--pair", help="second text, or the context of the question, for one text")
    parser.add_argument("--input", metavar="FILE", help="UTF-8, one text a line")
    parser.add_argument("--batch-size", type=shared.positive(int), default=64)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with all that the model says")


def run(options: argparse.Namespace) -> int:
    """Read, predict, print."""
    texts, pairs = _inputs(options)
    path = shared.checkpoint_path(options.model)
    task = saved_adapter(path, options)
    _check_pairs(task, pairs)
    for answer in task.answer(task.open_trained(path), texts, pairs, batch_size=options.batch_size):
        print(json.dumps(answer.record, ensure_ascii=False) if options.json else answer.line)
    return 0


def _check_pairs(task: TaskAdapter, pairs: list[str] | None) -> None:
    if pairs is None and task.reads_pairs == "must":
        raise DataError(f"{task.name} takes a question and its context: pass --pair, or part them by a tab")
    if pairs is not None and task.reads_pairs == "never":
        raise DataError(f"{task.name} takes one text, not a pair")


def _inputs(options: argparse.Namespace) -> tuple[list[str], list[str] | None]:
    """Texts and their pairs."""
    if options.text:
        if options.pair is not None and len(options.text) != 1:
            raise DataError(f"--pair goes with one text, got {len(options.text)}")
        return options.text, None if options.pair is None else [options.pair]
    try:
        content = pathlib.Path(options.input).read_text("utf-8") if options.input else sys.stdin.read()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{options.input or 'standard input'} cannot be read: {error}") from error
    numbered = list(enumerate(content.splitlines(), start=1))
    name = options.input or "standard input"
    blank = [f"{name}, line {number}: nothing but blanks; left out" for number, line in numbered if not line.strip()]
    show_problems(name, blank)
    lines = [line.split("\t") for _, line in numbered if line.strip()]
    if not lines:
        raise DataError(f"{options.input or 'standard input'} holds no text")
    widths = {len(line) for line in lines}
    if len(widths) != 1 or max(widths) > 2:
        raise DataError(
            f"{options.input or 'standard input'}: expected one text, or two parted by a tab, in every line"
        )
    return [line[0] for line in lines], [line[1] for line in lines] if widths == {2} else None
