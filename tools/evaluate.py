"""Score a model on labelled texts: accuracy, F1 and Matthews correlation, or correlations for regression.

MODEL is a checkpoint directory, or a .tflite file written by `keras-bert export`, which is run by keras-bert-edge.

example:
  keras-bert evaluate out --data test.tsv
  keras-bert evaluate model.tflite --data test.tsv --json
"""

from __future__ import annotations

import argparse
import json
import pathlib
from typing import Any

import numpy as np

from keras_bert.data import LabelledTexts, read_labelled_texts
from keras_bert.errors import KerasBertError, MissingExtraError

from . import options as shared
from .progress import progress_bar
from .quiet import quiet_imports
from .report import print_table, write_report
from .scoring import predict, scores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("model", help="checkpoint directory or .tflite file")
    parser.add_argument("--data", required=True, metavar="FILE", help="labelled texts: TSV, CSV or JSON lines")
    parser.add_argument("--batch-size", type=shared.positive(int), default=64)
    parser.add_argument("--max-length", type=shared.positive(int), help="tokens kept of a text; default: all that fit")
    parser.add_argument("--report", metavar="FILE", help="also write the scores as JSON to FILE")
    parser.add_argument("--json", action="store_true", help="print the scores as one line of JSON")
    shared.add_column_options(parser)


def run(options: argparse.Namespace) -> int:
    """Score the model and print the result."""
    data = read_labelled_texts(options.data, shared.columns(options))
    if pathlib.Path(options.model).suffix == ".tflite":
        outputs, labels, problem_type = edge_outputs(options.model, data)
    else:
        with quiet_imports():
            from keras_bert.models import SequenceClassifier

        model = SequenceClassifier.from_pretrained(shared.checkpoint_path(options.model))
        if model.new_parts:
            raise KerasBertError(f"{options.model} is not a classifier: it holds no {', '.join(model.new_parts)}")
        outputs = predict(model, data, batch_size=options.batch_size, max_length=options.max_length)
        labels, problem_type = model.labels, model.problem_type
    found = scores(outputs, data, labels, problem_type)
    if options.report:
        write_report(options.report, "evaluate", {"model": options.model, "data": options.data, "scores": found})
    if options.json:
        print(json.dumps(found))
    else:
        print_table(f"{options.model} on {len(data)} texts", list(found), [[f"{v:.4f}" for v in found.values()]])
    return 0


def edge_outputs(path: str, data: LabelledTexts) -> tuple[np.ndarray, list[str], str]:
    """Scores float32 [texts, labels] of an exported classifier on the edge runner, its labels and problem type.

    Raises:
        MissingExtraError: keras-bert-edge is not installed. KerasBertError: the file is refused.
    """
    try:
        import keras_bert_edge as edge
    except ModuleNotFoundError:
        raise MissingExtraError(
            "running a .tflite file needs the extra edge: pip install keras-bert-toolkit[edge]"
        ) from None
    try:
        with quiet_imports():
            model = edge.load(path, task="sequence_classification")
        inputs = data.texts if data.pairs is None else list(zip(data.texts, data.pairs, strict=True))
        with progress_bar("evaluating", len(data)) as advance:
            rows = [_scores(model, item, advance) for item in inputs]
    except edge.EdgeError as error:
        raise KerasBertError(str(error)) from error
    return np.array(rows, "float32"), list(model.labels), model.problem_type


def _scores(model: Any, item: Any, advance: Any) -> list[float]:
    result = model(item)
    advance(1)
    return [result.value] if model.problem_type == "regression" else [result.scores[label] for label in model.labels]
