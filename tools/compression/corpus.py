"""Bare texts: those of a task's examples, or of a file with one a line."""

from __future__ import annotations

import pathlib
from typing import Any

from keras_bert.data.tokens import joined
from keras_bert.errors import DataError


def task_texts(task: str, data: Any) -> list[str]:
    """Every text of a task's examples, each distinct one once."""
    if task == "token_classification":
        texts = [joined(sentence.words)[0] for sentence in data.sentences]
    elif task == "question_answering":
        texts = [text for question in data.questions for text in (question.question, question.context)]
    else:
        texts = [*data.texts, *(data.pairs or ())]
    return list(dict.fromkeys(texts))


def read_corpus(path: str) -> list[str]:
    """The lines of a text file that are not blank.

    Raises:
        DataError: it cannot be read, is not UTF-8, or holds no text.
    """
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: byte {error.start}") from error
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise DataError(f"{path} holds no text; expected one text a line")
    return texts
