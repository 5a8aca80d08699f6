"""Labelled texts in TSV, CSV or JSON-lines files, streamed row by row; errors name file and line."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from ..errors import DataError
from .text_file import open_text

_LONGEST_FIELD = 2**31 - 1  # characters of a CSV field; the csv module's own limit is 131,072


@dataclasses.dataclass(frozen=True)
class TextRow:
    """One example.

    Attributes:
        text: the text, not empty. pair: the second text, or None. label: as written, or None where there is none.
        line: line of the file that the row begins on, from 1.
    """

    text: str
    pair: str | None
    label: str | None
    line: int


@dataclasses.dataclass(frozen=True)
class Columns:
    """Which columns hold what; None finds them: `label` is the label, the one or two others are text and pair."""

    text: str | None = None
    pair: str | None = None
    label: str | None = None


def read_rows(
    path: str | os.PathLike[str],
    columns: Columns | None = None,
    *,
    labelled: bool = True,
    empty_labels: bool = False,
) -> Iterator[TextRow]:
    """Stream the rows of a file with a header (`.tsv`, `.csv`) or of JSON objects (`.jsonl`), all with the same fields.

    A TSV has one row a line and no quoting: a quote is a character of the text. A CSV is quoted as RFC 4180 says and
    may hold line breaks inside quotes. Files are UTF-8, a byte order mark is passed over.

    Args:
        columns: names of the columns; None finds them.
        labelled: whether each row must have a label.
        empty_labels: whether that label may be an empty field.

    Raises:
        DataError: no such file, another ending, undecodable bytes, a missing or nameless column, two of one name, a row
            with too few or too many fields, an empty text or label.
    """
    path = pathlib.Path(path)
    columns = columns or Columns()
    readers = {".tsv": _read_tsv, ".csv": _read_csv, ".jsonl": _read_jsonl}
    if path.suffix not in readers:
        raise DataError(f"{path}: expected a file ending in {', '.join(readers)}")
    with open_text(path) as file:
        found, header = None, set[str]()
        for line, record in readers[path.suffix](path, file):
            if found is None:
                found, header = _find_columns(path, list(record), columns, labelled), set(record)
            if columns.text is None and not header.issuperset(record):
                more = ", ".join(sorted(set(record) - header))
                raise DataError(
                    f"{path}, line {line}: has {more}, which the first row has not: name the columns to read (text "
                    "column, pair column, label column)"
                )
            yield _row(path, line, record, found, labelled and not empty_labels)


def _read_tsv(path: pathlib.Path, file: Any) -> Iterator[tuple[int, dict[str, str]]]:
    header: list[str] = []
    for number, line in enumerate(file, start=1):
        fields = line.rstrip("\r\n").split("\t")
        if not header:
            header = _header(path, fields)
        elif fields != [""]:
            yield number, _record(path, number, header, fields)


def _read_csv(path: pathlib.Path, file: Any) -> Iterator[tuple[int, dict[str, str]]]:
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(file, strict=True)
    header: list[str] = []
    start = 1
    try:
        for fields in reader:
            if not header:
                header = _header(path, fields)
            elif fields:
                yield start, _record(path, start, header, fields)
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}, line {start}: not a CSV row: {error}") from error


def _read_jsonl(path: pathlib.Path, file: Any) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise DataError(f"{path}, line {number}: expected a JSON object, got {type(record).__name__}")
        yield number, {key: _json_field(value) for key, value in record.items()}


def _header(path: pathlib.Path, names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: the header names the column {twice[0]!r} {names.count(twice[0])} times")
    return names


def _json_field(value: Any) -> str:
    """A value as it would stand in a table: text as it is, null empty, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _record(path: pathlib.Path, line: int, header: list[str], fields: list[str]) -> dict[str, str]:
    if len(fields) != len(header):
        raise DataError(f"{path}, line {line}: expected {len(header)} columns ({', '.join(header)}), got {len(fields)}")
    return dict(zip(header, fields, strict=True))


def _find_columns(path: pathlib.Path, header: list[str], columns: Columns, labelled: bool) -> Columns:
    """The columns by name, those that were left open found."""
    label = columns.label or ("label" if labelled or "label" in header else None)
    others = [name for name in header if name not in (label, columns.text, columns.pair)]
    text, pair = columns.text, columns.pair
    if text is None:
        if "" in others:
            raise DataError(
                f"{path}: column {header.index('') + 1} has no name: give it one, or name the others (text column, "
                "pair column, label column)"
            )
        if not 1 <= len(others) <= (1 if pair else 2):
            raise DataError(
                f"{path}: cannot tell which of the columns {', '.join(header)} is the text: name it (text column, "
                "pair column, label column)"
            )
        text, pair = others[0], pair or (others[1] if len(others) == 2 else None)
    for role, name in (("text", text), ("pair", pair), ("label", label)):
        if name is not None and name not in header:
            raise DataError(f"{path}: no {role} column {name!r}; the columns are {', '.join(header)}")
    return Columns(text, pair, label)


def _row(path: pathlib.Path, line: int, record: dict[str, str], columns: Columns, labelled: bool) -> TextRow:
    text = record.get(columns.text or "", "")
    pair = record.get(columns.pair, "") if columns.pair else None
    label = record.get(columns.label, "").strip() if columns.label else None
    for role, value in (("text", text), ("pair", pair)):
        if value is not None and not value.strip():
            raise DataError(f"{path}, line {line}: the {role} is empty")
    if labelled and not label:
        raise DataError(f"{path}, line {line}: the label is empty")
    return TextRow(text, pair, label, line)
