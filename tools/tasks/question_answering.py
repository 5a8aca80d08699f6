"""Extractive question answering, SQuAD 1.1 and 2.0."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from keras_bert import metrics
from keras_bert.data import Questions, read_questions
from keras_bert.data.questions import asked_contexts, question_examples
from keras_bert.data.squad import Question
from keras_bert.errors import DataError
from keras_bert.prediction import QuestionAnsweringResult, answer_questions

from .. import options as shared
from .base import MOST_SHOWN, Answered, Evaluation, Schedule, TaskAdapter, TrainingExamples, show_problems, split_by


class QuestionAnswering(TaskAdapter):
    """Predictions are one `QuestionAnsweringResult` a question, of the library or of the edge."""

    name = "question_answering"
    reads_pairs = "must"
    max_length = 384
    unit = "questions"
    option_names = ("null_threshold", "n_best")

    def add_reading_options(self, group: Any) -> None:
        group.description = "SQuAD 1.1 or 2.0 JSON"

    def read(self, path: str, options: argparse.Namespace) -> Questions:
        data = read_questions(path, strict=options.strict)
        show_problems(path, data.problems)
        return data

    def add_answering_options(self, group: Any) -> None:
        group.add_argument(
            "--null-threshold",
            type=float,
            metavar="X",
            help='of question_answering: "no answer" where it scores more than this above the best one; 0, or the best '
            "threshold that evaluate finds; default: always an answer",
        )
        group.add_argument(
            "--n-best", type=shared.positive(int), metavar="N", help="of question_answering: answers in --json (20)"
        )

    def schedule(self, train: Questions, num_labels: int) -> Schedule:
        # Few epochs over long texts end before they overfit: dropout then only slows them down.
        return Schedule(dropout=0.0)

    def split(self, data: Questions, fraction: float, options: argparse.Namespace) -> tuple[Questions, Questions]:
        """Hold out contexts with all their questions: they must not be seen in training."""
        return split_by([question.context for question in data.questions], data, fraction, options.seed)

    def model_arguments(self, train: Questions, options: argparse.Namespace) -> dict[str, Any]:
        return {}

    def check(self, data: Questions, model_labels: Sequence[str], options: argparse.Namespace) -> None:
        """Every file that can be read can be scored."""

    def training_examples(
        self, model: Any, train: Questions, max_length: int, options: argparse.Namespace
    ) -> TrainingExamples:
        asked = asked_contexts(
            model.tokenizer,
            [question.question for question in train.questions],
            [question.context for question in train.questions],
            max_length=max_length,
        )
        examples = question_examples(train.questions, asked)
        if not len(examples.texts):
            raise DataError(f"{train.path}: no place of an answer is known in any of the {len(train)} questions")
        notes = [f"{len(train)} training questions make {len(examples.texts)} windows of up to {max_length} tokens"]
        if examples.left_out:
            names = ", ".join(question.id for question in examples.left_out[:MOST_SHOWN])
            more = ", ..." if len(examples.left_out) > MOST_SHOWN else ""
            notes.append(f"{len(examples.left_out)} are left out, no place of an answer is known: {names}{more}")
        return TrainingExamples(examples.texts, examples.targets, notes)

    def unlabelled(self, path: str, model: Any, texts: Sequence[str], pairs: Sequence[str] | None) -> Questions:
        rows = enumerate(zip(texts, pairs or [], strict=True), start=1)
        return Questions(path, [Question(str(line), asked, context, (), line) for line, (asked, context) in rows], [])

    def predict(
        self, model: Any, data: Questions, *, batch_size: int, max_length: int | None, on_item: Callable[[int], None]
    ) -> list[QuestionAnsweringResult]:
        return answer_questions(
            model,
            [question.question for question in data.questions],
            [question.context for question in data.questions],
            batch_size=batch_size,
            max_length=max_length or self.max_length,
            on_text=on_item,
        )

    def edge_predict(self, runner: Any, data: Questions, on_item: Callable[[int], None]) -> list[Any]:
        results = []
        for question in data.questions:
            results.append(runner(question.question, question.context))
            on_item(1)
        return results

    def evaluate(self, predictions: Sequence[Any], data: Questions, model: Any) -> Evaluation:
        """SQuAD 1.1's scores; where questions without answers are among them, SQuAD 2.0's with the answer withheld
        where "no answer" scores higher, and the best that another threshold reaches."""
        answers, texts = data.answer_texts(), [result.answer for result in predictions]
        details = {"answers": {q.id: text for q, text in zip(data.questions, texts, strict=True)}}
        if not data.has_unanswerable:
            found = metrics.squad_scores(answers, texts)
            return Evaluation({"f1": found.f1, "exact_match": found.exact_match}, details)
        # Without a difference there is no answer to withhold.
        differences = [result.null_score_difference or 0.0 for result in predictions]
        found_v2 = metrics.squad_v2_scores(answers, texts, differences, threshold=0.0)
        exact, f1 = metrics.best_thresholds(answers, texts, differences)
        named = {"f1": found_v2.all.f1, "exact_match": found_v2.all.exact_match}
        for part, values in (("has_answer", found_v2.has_answer), ("no_answer", found_v2.no_answer)):
            if values is not None:
                named[f"{part}_f1"] = values.f1
        named.update(best_f1=f1.score, best_f1_threshold=f1.threshold, best_exact_match=exact.score)
        by_id = {q.id: value for q, value in zip(data.questions, differences, strict=True)}
        return Evaluation(named, {**details, "null_score_differences": by_id})

    def answer(
        self, model: Any, texts: Sequence[str], pairs: Sequence[str] | None, options: argparse.Namespace
    ) -> list[Answered]:
        assert pairs is not None
        results = answer_questions(
            model,
            texts,
            pairs,
            n_best=options.n_best or 20,
            null_threshold=options.null_threshold,
            batch_size=options.batch_size,
        )
        answers = []
        for text, result in zip(texts, results, strict=True):
            record = {
                "text": text,
                "answer": result.answer,
                "start": result.start,
                "end": result.end,
                "score": result.score,
                "null_score_difference": result.null_score_difference,
                "n_best": [answer._asdict() for answer in result.n_best],
                "truncated": result.truncated,
            }
            line = f"{' '.join(result.answer.split()) or '(no answer)'}\t{result.score:.4f}\t{text}"
            answers.append(Answered(line, record))
        return answers
