"""Classification of one text or a pair, with one label or several, and regression."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import pathlib
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
from keras_bert.data.documents import DocumentExamples, refuse_pairs
from keras_bert.data.labels import SEPARATOR
from keras_bert.errors import DataError, KerasBertError
from keras_bert.layers.window_pooling import POOLINGS
from keras_bert.metrics import class_scores, one_hot
from keras_bert.models import DocumentClassifier
from keras_bert.models.documents import is_document_classifier
from keras_bert.prediction import document_logits

from .. import options as shared
from ..details import per_class
from ..scoring import THRESHOLD, chosen, scores
from .base import (
    Answered,
    Evaluation,
    Schedule,
    TaskAdapter,
    TrainingExamples,
    class_loss,
    refuse_class_options,
    rounded,
)

OVERLAP = 32
MAX_WINDOWS = 8
# Above this each label has few examples in a batch, and its row of the head few steps to learn from.
FEW_LABELS = 20


class SequenceClassification(TaskAdapter):
    """Predictions are probabilities, float32 [texts, labels], or values [texts, 1]."""

    name = "sequence_classification"
    reads_pairs = "may"
    max_length = 128
    unit = "texts"
    option_names = (
        "regression",
        "multi_label",
        "label_separator",
        "text_column",
        "pair_column",
        "label_column",
        "long_texts",
        "overlap",
        "max_windows",
    )

    def schedule(self, train: LabelledTexts, num_labels: int) -> Schedule:
        if num_labels > FEW_LABELS:
            return Schedule(epochs=6, rate=5e-5)
        one_of_a_few = train.label_sets is None and num_labels > 1
        return Schedule(epochs=3 if train.pairs is None else 5, adversarial=0.02 if one_of_a_few else 0.0)

    def add_reading_options(self, group: Any) -> None:
        group.add_argument("--regression", action="store_true", help="labels are numbers to predict, not classes")
        group.add_argument("--multi-label", action="store_true", help="a text has any number of labels, or none")
        group.add_argument(
            "--label-separator", metavar="TEXT", help=f"between the labels of a text (default {SEPARATOR!r})"
        )

    def add_training_options(self, group: Any) -> None:
        group.add_argument(
            "--long-texts",
            choices=POOLINGS,
            help="of sequence_classification: read texts by windows of --max-length tokens and pool what is said of "
            "them; default: cut texts",
        )
        group.add_argument(
            "--overlap",
            type=shared.not_negative(int),
            metavar="N",
            help=f"tokens that neighbouring windows share ({OVERLAP})",
        )
        group.add_argument(
            "--max-windows",
            type=shared.positive(int),
            metavar="N",
            help=f"windows of a text to train on ({MAX_WINDOWS}); all are read",
        )

    def model_class_of(self, path: pathlib.Path) -> Any:
        return DocumentClassifier if is_document_classifier(path) else self.model_class

    def prepare(self, model: Any, options: argparse.Namespace) -> Any:
        if not options.long_texts:
            for name in ("overlap", "max_windows"):
                if getattr(options, name) is not None:
                    raise KerasBertError(f"--{name.replace('_', '-')} goes with --long-texts")
            return model
        return DocumentClassifier(
            model,
            options.long_texts,
            window_length=min(options.max_length or self.max_length, model.config.max_positions),
            overlap=OVERLAP if options.overlap is None else options.overlap,
        )

    def read(self, path: str, options: argparse.Namespace) -> LabelledTexts:
        return read_labelled_texts(
            path,
            Columns(options.text_column, options.pair_column, options.label_column),
            multi_label=options.multi_label,
            separator=options.label_separator or SEPARATOR,
        )

    def split(
        self, data: LabelledTexts, fraction: float, options: argparse.Namespace
    ) -> tuple[LabelledTexts, LabelledTexts]:
        """Hold out the same share of every label."""
        if len(data) < 2:
            raise DataError(f"{data.path} holds one example: expected at least two, one to train and one to choose by")
        return split_labelled_texts(data, fraction, options.seed, by_label=not options.regression)

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

    def commonest(self, data: LabelledTexts, options: argparse.Namespace) -> tuple[str, float] | None:
        if _problem_type(options) != "single_label_classification":
            return None
        ((label, count),) = collections.Counter(data.labels).most_common(1)
        return label, count / len(data)

    def check(self, data: LabelledTexts, model_labels: Sequence[str], options: argparse.Namespace) -> None:
        data.targets(model_labels, _problem_type(options))

    def training_examples(
        self, model: Any, train: LabelledTexts, max_length: int, options: argparse.Namespace
    ) -> TrainingExamples:
        if isinstance(model, DocumentClassifier):
            return _document_examples(model, train, options.max_windows or MAX_WINDOWS)
        texts = tokenize(model.tokenizer, train.texts, train.pairs, max_length=max_length)
        notes = []
        if texts.truncated:
            notes.append(f"{texts.truncated} of {len(train)} training texts were cut to {max_length} tokens")
        return TrainingExamples(texts, train.targets(model.labels, model.problem_type), notes)

    def unlabelled(self, path: str, model: Any, texts: Sequence[str], pairs: Sequence[str] | None) -> LabelledTexts:
        label = "0" if model.problem_type == "regression" else model.labels[0]
        lines = list(range(1, len(texts) + 1))
        return LabelledTexts(path, list(texts), None if pairs is None else list(pairs), [label] * len(texts), lines)

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
        if isinstance(model, DocumentClassifier):
            refuse_pairs(data)
            logits = document_logits(model, data.texts, batch_size=batch_size, on_text=on_item)
        else:
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
        self, model: Any, texts: Sequence[str], pairs: Sequence[str] | None, options: argparse.Namespace
    ) -> list[Answered]:
        by_windows = isinstance(model, DocumentClassifier)
        if by_windows and pairs is not None:
            raise KerasBertError("a model that reads texts by windows takes one text, not a pair")
        if by_windows:
            logits = document_logits(model, texts, batch_size=options.batch_size)
        else:
            logits = predict_logits(model, texts, pairs, batch_size=options.batch_size)
        rows = probabilities(logits, model.problem_type)
        limit = None if by_windows else model.config.max_positions
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


@dataclasses.dataclass(frozen=True)
class DocumentTrainingExamples(TrainingExamples):
    """Windows of documents; targets are of documents."""

    documents: DocumentExamples

    def num_batches(self, batch_size: int) -> int:
        return -(-len(self.documents) // batch_size)

    def dataset(self, config: Any, *, batch_size: int, seed: int, first_epoch: int) -> Any:
        return self.documents.dataset(
            self.targets, config, batch_size=batch_size, shuffle=True, seed=seed, first_epoch=first_epoch
        )


def _document_examples(model: DocumentClassifier, train: LabelledTexts, max_windows: int) -> TrainingExamples:
    refuse_pairs(train)
    found = DocumentExamples(
        model.tokenizer,
        train.texts,
        window_length=model.window_length,
        overlap=model.overlap,
        max_windows=max_windows,
    )
    notes = [f"{len(train)} training texts make {len(found.windows)} windows of up to {model.window_length} tokens"]
    if found.thinned:
        notes.append(f"{found.thinned} of them have more than {max_windows} windows: trained on as many, evenly spread")
    targets = train.targets(model.labels, model.problem_type)
    return DocumentTrainingExamples(found.windows, targets, notes, found)


def _problem_type(options: argparse.Namespace) -> str:
    """Raises KerasBertError where two are asked for."""
    if options.regression and options.multi_label:
        raise KerasBertError("--regression and --multi-label exclude each other")
    if options.multi_label:
        return "multi_label_classification"
    return "regression" if options.regression else "single_label_classification"
