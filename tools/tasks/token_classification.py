"""Named entities and other tags of words."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_bert import metrics
from keras_bert.data import TaggedSentences, read_tagged_sentences
from keras_bert.data.conll import SCHEMES, TaggedSentence
from keras_bert.data.tokens import first_tokens, joined, token_examples, words_of_sentences
from keras_bert.errors import DataError
from keras_bert.prediction import find_entities, tag_words

from .base import Answered, Evaluation, Schedule, TaskAdapter, TrainingExamples, class_loss, show_problems, split_by


class TokenClassification(TaskAdapter):
    """Predictions are one list of tags a sentence."""

    name = "token_classification"
    reads_pairs = "never"
    max_length = 128
    unit = "sentences"
    option_names = ("scheme", "token_column", "tag_column")

    def schedule(self, train: Any, num_labels: int) -> Schedule:
        return Schedule(epochs=5, rate=5e-5, restarted=1 / 3, copies=1)

    def add_reading_options(self, group: Any) -> None:
        group.description = "CoNLL columns: one word and its tag a line, sentences parted by blank lines"
        group.add_argument("--scheme", choices=SCHEMES, help="of the tags; default: found from the file")
        group.add_argument("--token-column", type=int, metavar="N", help="column of the word, from 0 (default 0)")
        group.add_argument(
            "--tag-column", type=int, metavar="N", help="column of the tag; -1, the default, is the last"
        )

    def read(self, path: str, options: argparse.Namespace) -> TaggedSentences:
        data = read_tagged_sentences(
            path,
            scheme=options.scheme,
            token_column=0 if options.token_column is None else options.token_column,
            tag_column=-1 if options.tag_column is None else options.tag_column,
            strict=options.strict,
        )
        show_problems(path, data.problems)
        return data

    def split(
        self, data: TaggedSentences, fraction: float, options: argparse.Namespace
    ) -> tuple[TaggedSentences, TaggedSentences]:
        """Hold out sentences; equal ones stay together."""
        return split_by([sentence.words for sentence in data.sentences], data, fraction, options.seed)

    def model_arguments(self, train: TaggedSentences, options: argparse.Namespace) -> dict[str, Any]:
        labels = train.label_names()
        if len(labels) < 2:
            last = train.sentences[-1]
            lines = f"line {train.sentences[0].line} to {last.line + len(last.words) - 1}"
            raise DataError(f"{train.path} has one tag only, {labels[0]!r}, from {lines}: expected at least two")
        return {"labels": labels}

    def check(self, data: TaggedSentences, model_labels: Sequence[str], options: argparse.Namespace) -> None:
        data.targets(model_labels)

    def training_examples(
        self, model: Any, train: TaggedSentences, max_length: int, options: argparse.Namespace
    ) -> TrainingExamples:
        words = words_of_sentences(
            model.tokenizer, [sentence.words for sentence in train.sentences], max_length=max_length
        )
        examples = token_examples(words, train.targets(model.labels))
        notes = []
        if len(examples.texts) > len(train):
            notes.append(f"{len(train)} training sentences make {len(examples.texts)} windows of {max_length} tokens")
        if examples.unread_words:
            notes.append(f"{examples.unread_words} training words are left out: the tokenizer gives them no token")
        return TrainingExamples(examples.texts, examples.targets, notes)

    def unlabelled(self, path: str, model: Any, texts: Sequence[str], pairs: Sequence[str] | None) -> TaggedSentences:
        words = [tuple(text.split()) for text in texts]
        tagged = [TaggedSentence(row, (model.labels[0],) * len(row), line) for line, row in enumerate(words, start=1)]
        return TaggedSentences(path, tagged, "plain", [])

    def compile_arguments(self, model: Any, examples: TrainingExamples, options: argparse.Namespace) -> dict[str, Any]:
        return class_loss(model, examples.targets.values, options)

    def predict(
        self,
        model: Any,
        data: TaggedSentences,
        *,
        batch_size: int,
        max_length: int | None,
        on_item: Callable[[int], None],
    ) -> list[list[str]]:
        words = [sentence.words for sentence in data.sentences]
        return tag_words(model, words, batch_size=batch_size, max_length=max_length, on_text=on_item)

    def edge_predict(self, runner: Any, data: TaggedSentences, on_item: Callable[[int], None]) -> list[list[str]]:
        """The runner finds its own words in the sentence written out; a word has the tag of the first of them that
        begins inside it."""
        predictions = []
        for sentence in data.sentences:
            text, spans = joined(sentence.words)
            found = runner(text).words
            firsts = first_tokens(spans, [(word.start, word.end) for word in found])
            predictions.append([found[first].tag if first >= 0 else "O" for first in firsts])
            on_item(1)
        return predictions

    def evaluate(self, predictions: list[list[str]], data: TaggedSentences, model: Any) -> Evaluation:
        targets = [sentence.tags for sentence in data.sentences]
        right = sum(a == b for pair in zip(targets, predictions, strict=True) for a, b in zip(*pair, strict=True))
        accuracy = right / max(sum(map(len, targets)), 1)
        if data.scheme == "plain":
            return Evaluation({"accuracy": accuracy}, {})
        found = metrics.entity_scores(targets, predictions)
        named = {name: value for name, value in found.micro._asdict().items() if name != "support"}
        return Evaluation(
            {"f1": named.pop("f1"), **named, "accuracy": accuracy},
            {
                "per_type": {kind: score._asdict() for kind, score in found.per_type.items()},
                "confusion": _word_confusion(targets, predictions),
            },
        )

    def answer(
        self, model: Any, texts: Sequence[str], pairs: Sequence[str] | None, options: argparse.Namespace
    ) -> list[Answered]:
        answers = []
        for text, result in zip(texts, find_entities(model, texts, batch_size=options.batch_size), strict=True):
            entities = " ".join(f"[{entity.label} {' '.join(entity.text.split())}]" for entity in result.entities)
            record = {
                "text": text,
                "entities": [entity._asdict() for entity in result.entities],
                "words": [word._asdict() for word in result.words],
            }
            answers.append(Answered(f"{entities or '(none)'}\t{text}", record))
        return answers


def _word_confusion(targets: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]) -> dict[str, Any]:
    """How often words of each type of entity were given each type; B- and I- count alike."""
    wanted, given = ([tag[2:] or tag for tags in side for tag in tags] for side in (targets, predictions))
    kinds = ["O", *sorted({*wanted, *given} - {"O"})]
    ids = {kind: index for index, kind in enumerate(kinds)}
    matrix = metrics.confusion_matrix(
        np.array([ids[kind] for kind in wanted]), np.array([ids[kind] for kind in given]), len(kinds)
    )
    return {"labels": kinds, "matrix": matrix.tolist()}
