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

from keras_bert.errors import DataError

from . import options as shared
from .evaluate import saved_adapter
from .tasks import ADAPTERS, TaskAdapter
from .texts import check_pairs, read_texts


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
    check_pairs(task, pairs, "pass --pair, or part them by a tab")
    for answer in task.answer(task.open_trained(path), texts, pairs, options):
        print(json.dumps(answer.record, ensure_ascii=False) if options.json else answer.line)
    return 0


def _inputs(options: argparse.Namespace, task: TaskAdapter) -> tuple[list[str], list[str] | None]:
    """Texts and their pairs."""
    if not options.text:
        return read_texts(options.input, task)
    if options.pair is not None and len(options.text) != 1:
        raise DataError(f"--pair goes with one text, got {len(options.text)}")
    return options.text, None if options.pair is None else [options.pair]
