"""Classification of one text or a pair, and regression."""

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
from keras_bert.errors import DataError

from ..scoring import scores
from .base import Answered, Evaluation, TaskAdapter, TrainingExamples, rounded


class SequenceClassification(TaskAdapter):
    """Predictions are logits or scores, float32 [texts, labels]."""

    name = "sequence_classification"
    reads_pairs = "may"
    max_length = 128
    unit = "texts"
    option_names = ("regression", "text_column", "pair_column", "label_column")

    def add_reading_options(self, group: Any) -> None:
        group.description = (
            "TSV or CSV with a header, or JSON lines; columns are found where `label` is the label and the rest is text"
        )
        for role in ("text", "pair", "label"):
            group.add_argument(f"--{role}-column", metavar="NAME", help=f"column of the {role}")

    def read(self, path: str, options: argparse.Namespace) -> LabelledTexts:
        return read_labelled_texts(path, Columns(options.text_column, options.pair_column, options.label_column))

    def split(self, data: LabelledTexts, fraction: float, seed: int) -> tuple[LabelledTexts, LabelledTexts]:
        """Hold out the same share of every label."""
        if len(data) < 2:
            raise DataError(f"{data.path} holds one example: expected at least two, one to train and one to choose by")
        return split_labelled_texts(data, fraction, seed)

    def model_arguments(self, train: LabelledTexts, options: argparse.Namespace) -> dict[str, Any]:
        if options.regression:
            return {"labels": ["value"], "problem_type": "regression"}
        labels = train.label_names()
        if len(labels) < 2:
            raise DataError(f"{train.path} has one label only, {labels[0]!r}: expected at least two")
        return {"labels": labels, "problem_type": "single_label_classification"}

    def check(self, data: LabelledTexts, model_labels: Sequence[str], options: argparse.Namespace) -> None:
        data.targets(model_labels, "regression" if options.regression else "single_label_classification")

    def training_examples(self, model: Any, train: LabelledTexts, max_length: int) -> TrainingExamples:
        texts = tokenize(model.tokenizer, train.texts, train.pairs, max_length=max_length)
        notes = []
        if texts.truncated:
            notes.append(f"{texts.truncated} of {len(train)} training texts were cut to {max_length} tokens")
        return TrainingExamples(texts, train.targets(model.labels, model.problem_type), notes)

    def predict(
        self,
        model: Any,
        data: LabelledTexts,
        *,
        batch_size: int,
        max_length: int | None,
        on_item: Callable[[int], None],
    ) -> np.ndarray:
        return predict_logits(
            model, data.texts, data.pairs, batch_size=batch_size, max_length=max_length, on_batch=on_item
        )

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
        targets, classes = data.targets(model.labels, model.problem_type), predictions.argmax(-1)
        f1 = {label: metrics.f1(targets, classes, index) for index, label in enumerate(model.labels)}
        return Evaluation(found, {"f1_per_label": f1})

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
            best = max(named, key=named.__getitem__)
            note = f"\t(cut to {limit} tokens)" if encoding.truncated else ""
            record = {"text": text, "scores": named, "truncated": encoding.truncated}
            answers.append(Answered(f"{best}\t{named[best]:.4f}\t{text}{note}", record))
        return answers
