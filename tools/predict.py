"""Label texts given on the command line, in a file, or on standard input, one a line.

A tab in a line parts the two texts of a pair.

example:
  keras-bert predict out "an hour I will never get back"
  keras-bert predict out --input texts.txt --json
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys

from keras_bert.data import predict_logits, probabilities
from keras_bert.errors import DataError, KerasBertError
from keras_bert.models import SequenceClassifier

from . import options as shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("model", help="checkpoint directory of a classifier")
    parser.add_argument("text", nargs="*", help="texts; none: lines of --input or of standard input")
    parser.add_argument("--pair", help="second text, for one text")
    parser.add_argument("--input", metavar="FILE", help="UTF-8, one text a line")
    parser.add_argument("--batch-size", type=shared.positive(int), default=64)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with the score of every label")


def run(options: argparse.Namespace) -> int:
    """Read, predict, print."""
    texts, pairs = _inputs(options)
    model = SequenceClassifier.from_pretrained(shared.checkpoint_path(options.model))
    if model.new_parts:
        raise KerasBertError(f"{options.model} is not a classifier: it holds no {', '.join(model.new_parts)}")
    rows = probabilities(predict_logits(model, texts, pairs, batch_size=options.batch_size), model.problem_type)
    for text, row in zip(texts, rows, strict=True):
        named = {label: round(float(score), 6) for label, score in zip(model.labels, row, strict=True)}
        if options.json:
            print(json.dumps({"text": text, "scores": named}, ensure_ascii=False))
        else:
            best = max(named, key=named.__getitem__)
            print(f"{best}\t{named[best]:.4f}\t{text}")
    return 0


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
    lines = [line.split("\t") for line in content.splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{options.input or 'standard input'} holds no text")
    widths = {len(line) for line in lines}
    if len(widths) != 1 or max(widths) > 2:
        raise DataError(
            f"{options.input or 'standard input'}: expected one text, or two parted by a tab, in every line"
        )
    return [line[0] for line in lines], [line[1] for line in lines] if widths == {2} else None
