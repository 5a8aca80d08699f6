"""Questions on contexts in the JSON files of SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018)."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import DataError
from .json_stream import Element, stream_elements
from .text_file import Problems, open_text

_ID = re.compile(r'"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)')


@dataclasses.dataclass(frozen=True)
class GoldAnswer:
    """A right answer: `context[start : start + len(text)] == text`; start is None where the file's does not match."""

    text: str
    start: int | None


@dataclasses.dataclass(frozen=True)
class Question:
    """One question, its context and its right answers; no answers: the context holds none."""

    id: str
    question: str
    context: str
    answers: tuple[GoldAnswer, ...]
    line: int


@dataclasses.dataclass(frozen=True)
class Questions:
    """The questions of one file.

    Attributes:
        path: the file. problems: its faults, one message each with file and line.
    """

    path: str
    questions: list[Question]
    problems: list[str]

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def has_unanswerable(self) -> bool:
        """Whether "no answer" is an answer here, as in SQuAD 2.0."""
        return any(not question.answers for question in self.questions)

    def answer_texts(self) -> list[list[str]]:
        """The right answers of each question, as `metrics.squad_scores` takes them."""
        return [[answer.text for answer in question.answers] for question in self.questions]

    def subset(self, indices: Sequence[int]) -> Questions:
        """The questions of `indices`, in that order."""
        return dataclasses.replace(self, questions=[self.questions[i] for i in indices])


def read_questions(path: str | os.PathLike[str], *, strict: bool = False, answered: bool = True) -> Questions:
    """All questions of a file; arguments and errors as for `read_squad`.

    Raises:
        DataError: also when there is no question at all.
    """
    problems = Problems(path, strict=strict)
    questions = list(read_squad(path, problems=problems, answered=answered))
    if not questions:
        raise DataError("\n".join([f"{path} holds no questions", *problems.messages[:5]]))
    return Questions(os.fspath(path), questions, problems.messages)


def read_squad(
    path: str | os.PathLike[str], *, problems: Problems | None = None, answered: bool = True
) -> Iterator[Question]:
    """Stream the questions of a SQuAD file, article by article.

    Handled, and noted in `problems`: an `answer_start` at which the context does not hold the text (the text still
    counts for scores, its place is not trained on); an empty answer (left out, and the question with it where it has no
    other); an empty context or question, and an id for the second time (the question is left out, for predictions and
    scores go by id); a question without answers that is not marked `is_impossible`, and one so marked that has answers
    (both have none).

    Args:
        answered: whether questions come with answers; False reads those that are only to be asked.

    Raises:
        DataError: unreadable, not JSON, or a part that is missing or of another type; the message names file and line.
    """
    problems = problems or Problems(path)
    seen: set[str] = set()
    with open_text(path) as file:
        try:
            for article in stream_elements(file, "data"):
                yield from _Article(path, article, problems, seen, answered).questions()
        except (ValueError, RecursionError) as error:
            if isinstance(error, DataError | UnicodeDecodeError):
                raise
            raise DataError(f"{path}: not a SQuAD file: {error}") from error


class _Article:
    """One article: what it says wrong is named by the line of the question's id."""

    def __init__(
        self, path: str | os.PathLike[str], article: Element, problems: Problems, seen: set[str], answered: bool
    ) -> None:
        self.path, self.article, self.problems, self.seen, self.answered = path, article, problems, seen, answered
        self.line, self.position = article.line, 0

    def questions(self) -> Iterator[Question]:
        for paragraph in self.part(self.article.value, "paragraphs", list):
            context = self.part(paragraph, "context", str)
            asked = self.part(paragraph, "qas", list)
            if not context.strip():
                self.find(asked[0].get("id") if asked and isinstance(asked[0], dict) else None)
                self.problems.add(self.line, f"an empty context; its {len(asked)} questions are left out")
                continue
            for item in asked:
                question = self.question(item, context)
                if question is not None:
                    yield question

    def question(self, item: Any, context: str) -> Question | None:
        """The question, or None if it is left out."""
        identifier = str(self.part(item, "id", str | int))
        self.find(item["id"])
        text = self.part(item, "question", str)
        if identifier in self.seen:
            self.problems.add(self.line, f"the id {identifier!r} for the second time; the question is left out")
            return None
        if not text.strip():
            self.problems.add(self.line, f"the question {identifier!r} is empty; it is left out")
            return None
        self.seen.add(identifier)
        answers = tuple(self.answers(item, identifier, context)) if self.answered else ()
        if self.answered and not answers and item["answers"] and not item.get("is_impossible", False):
            self.problems.add(self.line, f"the question {identifier!r} has empty answers only; it is left out")
            return None
        return Question(identifier, text, context, answers, self.line)

    def answers(self, item: dict[str, Any], identifier: str, context: str) -> Iterator[GoldAnswer]:
        answers, impossible = self.part(item, "answers", list), bool(item.get("is_impossible", False))
        if impossible == bool(answers):
            fault = "is_impossible and has answers" if impossible else "has no answers, yet is not marked is_impossible"
            self.problems.add(self.line, f"the question {identifier!r} {fault}; taken as having none")
        if impossible:
            return
        for answer in answers:
            text, start = self.part(answer, "text", str), self.part(answer, "answer_start", int)
            if not text.strip():
                self.problems.add(self.line, f"an answer of {identifier!r} is empty; it is left out")
                continue
            found = context[start : start + len(text)] if start >= 0 else ""
            if found != text:
                self.problems.add(
                    self.line,
                    f"answer_start {start} of {identifier!r} does not match: the answer is {text[:40]!r}, the context "
                    f"has {found[:40]!r} there",
                )
            yield GoldAnswer(text, start if found == text else None)

    def part(self, value: Any, key: str, kind: Any) -> Any:
        """`value[key]`, of the type `kind`."""
        if not isinstance(value, dict) or not isinstance(value.get(key), kind) or isinstance(value[key], bool):
            got = (
                f"got {value.get(key)!r:.40}" if isinstance(value, dict) else f"got {value!r:.40} instead of an object"
            )
            raise DataError(f"{self.path}, line {self.line}: expected {key!r} ({_kind_name(kind)}), {got}")
        return value[key]

    def find(self, identifier: Any) -> None:
        """Go to the line of the next question with this id."""
        for match in _ID.finditer(self.article.source, self.position):
            if json.loads(match[1]) == identifier:
                self.line += self.article.source.count("\n", self.position, match.end())
                self.position = match.end()
                return


def _kind_name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind)).replace("str", "text").replace("int", "number")
