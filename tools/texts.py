"""Texts without labels, one a line; a tab parts the two of a pair, or a question from its context."""

from __future__ import annotations

import sys

from keras_bert.data.text_file import open_text
from keras_bert.errors import DataError

from .tasks import TaskAdapter
from .tasks.base import show_problems


def read_texts(path: str | None, task: TaskAdapter) -> tuple[list[str], list[str] | None]:
    """The texts of a file, of standard input where none is named, and their second texts; blank lines are left out.

    Raises:
        DataError: a file that cannot be read, no text, or lines of one text beside lines of two.
    """
    name = path or "standard input"
    lines = list(enumerate(_lines(path), start=1))
    blank = [f"{name}, line {number}: nothing but blanks; left out" for number, line in lines if not line.strip()]
    show_problems(name, blank)
    parts = task.reads_pairs != "never"
    rows = [(number, line.split("\t") if parts else [line]) for number, line in lines if line.strip()]
    if not rows:
        raise DataError(f"{name} holds no text")
    width = len(rows[0][1])
    for number, row in rows:
        if len(row) != width or width > 2:
            expected = {1: "one text", 2: "two texts parted by a tab"}.get(width, "one text, or two parted by a tab")
            raise DataError(f"{name}, line {number}: expected {expected}, as in all lines, got {len(row)}")
    return [row[0] for _, row in rows], [row[1] for _, row in rows] if width == 2 else None


def check_pairs(task: TaskAdapter, pairs: list[str] | None, how: str) -> None:
    """Raise DataError for texts that are none of the task's; `how` says how a second text is given."""
    if pairs is None and task.reads_pairs == "must":
        raise DataError(f"{task.name} takes a question and its context: {how}")
    if pairs is not None and task.reads_pairs == "never":
        raise DataError(f"{task.name} takes one text, not a pair")


def _lines(path: str | None) -> list[str]:
    """Lines without their ends; nothing else parts a text."""
    if path:
        with open_text(path) as file:
            return [line.rstrip("\r\n") for line in file]
    try:
        return [line.rstrip("\r\n") for line in sys.stdin]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"standard input cannot be read: {error}") from error
