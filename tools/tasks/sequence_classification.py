"""Classification of one text or a pair, with one label or several, and regression."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_bert import metrics
from keras_bert.data import (
    Columns,
    LabelledTexts,
    predict_logits,
    probabilities,
    read_labelled_texts,
    split_labelled_texts,
    tokenize,
)
from keras_bert.data.labels import SEPARATOR
from keras_bert.errors import DataError, KerasBertError
from keras_bert.metrics import class_scores, one_hot

from ..details import per_class
from ..scoring import THRESHOLD, chosen, scores
from .base import Answered, Evaluation, TaskAdapter, TrainingExamples, class_loss, refuse_class_options, rounded


class SequenceClassification(TaskAdapter):
    """Predictions are probabilities, float32 [texts, labels], or values [texts, 1]."""

    name = "sequence_classification"
    reads_pairs = "may"
    max_length = 128
    unit = "texts"
    option_names = ("regression", "multi_label", "label_separator", "text_column", "pair_column", "label_column")

    def add_reading_options(self, group: Any) -> None:
        group.add_argument("--regression", action="store_true", help="labels are numbers to predict, not classes")
        group.add_argument("--multi-label", action="store_true", help="a text has any number of labels, or none")
        group.add_argument(
            "--label-separator", metavar="TEXT", help=f"between the labels of a text (default {SEPARATOR!r})"
        )

    def read(self, path: str, options: argparse.Namespace) -> LabelledTexts:
        return read_labelled_texts(
            path,
            Columns(options.text_column, options.pair_column, options.label_column),
            multi_label=options.multi_label,
            separator=options.label_separator or SEPARATOR,
        )

    def split(self, data: LabelledTexts, fraction: float, seed: int) -> tuple[LabelledTexts, LabelledTexts]:
        """Hold out the same share of every label."""
        if len(data) < 2:
            raise DataError(f"{data.path} holds one example: expected at least two, one to train and one to choose by")
        return split_labelled_texts(data, fraction, seed)

    def model_arguments(self, train: LabelledTexts, options: argparse.Namespace) -> dict[str, Any]:
        problem_type = _problem_type(options)
        if problem_type == "regression":
            return {"labels": ["value"], "problem_type": problem_type}
        labels = train.label_names()
        if problem_type == "multi_label_classification":
            if not labels:
                raise DataError(f"{train.path} has no label in any line: expected at least one")
        elif len(labels) < 2:
            raise DataError(
                f"{train.path} has one label only, {labels[0]!r}, from line {train.lines[0]} to {train.lines[-1]}: "
                "expected at least two"
            )
        return {"labels": labels, "problem_type": problem_type}

    def check(self, data: LabelledTexts, model_labels: Sequence[str], options: argparse.Namespace) -> None:
        data.targets(model_labels, _problem_type(options))

    def training_examples(self, model: Any, train: LabelledTexts, max_length: int) -> TrainingExamples:
        texts = tokenize(model.tokenizer, train.texts, train.pairs, max_length=max_length)
        notes = []
        if texts.truncated:
            notes.append(f"{texts.truncated} of {len(train)} training texts were cut to {max_length} tokens")
        return TrainingExamples(texts, train.targets(model.labels, model.problem_type), notes)

    def compile_arguments(self, model: Any, examples: TrainingExamples, options: argparse.Namespace) -> dict[str, Any]:
        if model.problem_type != "single_label_classification":
            refuse_class_options(model.problem_type, options)
            return {}
        return class_loss(model, examples.targets, options)

    def predict(
        self,
        model: Any,
        data: LabelledTexts,
        *,
        batch_size: int,
        max_length: int | None,
        on_item: Callable[[int], None],
    ) -> np.ndarray:
        logits = predict_logits(
            model, data.texts, data.pairs, batch_size=batch_size, max_length=max_length, on_batch=on_item
        )
        return probabilities(logits, model.problem_type)

    def edge_predict(self, runner: Any, data: LabelledTexts, on_item: Callable[[int], None]) -> np.ndarray:
        rows = []
        for item in data.texts if data.pairs is None else zip(data.texts, data.pairs, strict=True):
            result = runner(item)
            regression = runner.problem_type == "regression"
            rows.append([result.value] if regression else [result.scores[label] for label in runner.labels])
            on_item(1)
        return np.array(rows, "float32")

    def evaluate(self, predictions: np.ndarray, data: LabelledTexts, model: Any) -> Evaluation:
        found = scores(predictions, data, model.labels, model.problem_type)
        if model.problem_type == "regression":
            return Evaluation(found, {})
        targets, count = data.targets(model.labels, model.problem_type), len(model.labels)
        if model.problem_type == "multi_label_classification":
            return Evaluation(found, {"per_class": per_class(model.labels, class_scores(targets, chosen(predictions)))})
        classes = predictions.argmax(-1)
        by_class = class_scores(one_hot(targets, count), one_hot(classes, count))
        matrix = metrics.confusion_matrix(targets, classes, count).tolist()
        confusion = {"labels": list(model.labels), "matrix": matrix}
        return Evaluation(found, {"per_class": per_class(model.labels, by_class), "confusion": confusion})

    def answer(
        self, model: Any, texts: Sequence[str], pairs: Sequence[str] | None, *, batch_size: int
    ) -> list[Answered]:
        rows = probabilities(predict_logits(model, texts, pairs, batch_size=batch_size), model.problem_type)
        limit = model.config.max_positions
        answers = []
        for text, row, encoding in zip(
            texts, rows, model.tokenizer.encode_batch(texts, pairs, max_length=limit), strict=True
        ):
            named = rounded(dict(zip(model.labels, row, strict=True)))
            record: dict[str, Any] = {"text": text, "scores": named, "truncated": encoding.truncated}
            if model.problem_type == "multi_label_classification":
                record["labels"] = [label for label, score in named.items() if score >= THRESHOLD]
                best = " ".join(f"{label} {named[label]:.4f}" for label in record["labels"]) or "(none)"
            else:
                first = max(named, key=named.__getitem__)
                best = f"{first}\t{named[first]:.4f}"
            note = f"\t(cut to {limit} tokens)" if encoding.truncated else ""
            answers.append(Answered(f"{best}\t{text}{note}", record))
        return answers


def _problem_type(options: argparse.Namespace) -> str:
    """Raises KerasBertError where two are asked for."""
    if options.regression and options.multi_label:
        raise KerasBertError("--regression and --multi-label exclude each other")
    if options.multi_label:
        return "multi_label_classification"
    return "regression" if options.regression else "single_label_classification"
