"""Texts streamed from files: plain or gzipped, one text a line or a field of a JSON object a line."""

from __future__ import annotations

import glob
import gzip
import json
import pathlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from ..errors import DataError

SUFFIXES = (".txt", ".jsonl")


def find_files(sources: Sequence[str]) -> list[pathlib.Path]:
    """Files that `sources` name, in the order given, each once.

    Args:
        sources: files; folders, searched through for `.txt` and `.jsonl` files (also `.gz`) in sorted order; or globs.

    Raises:
        DataError: a source that names no file.
    """
    files: dict[pathlib.Path, None] = {}
    for source in sources:
        path = pathlib.Path(source)
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.is_file() and _plain_suffix(file) in SUFFIXES)
        elif path.exists():
            found = [path]
        else:
            found = sorted(pathlib.Path(name) for name in glob.glob(source, recursive=True) if not name.endswith("/"))
            found = [file for file in found if file.is_file()]
        if not found:
            raise DataError(
                f"{source}: no such file, no folder with {' or '.join(SUFFIXES)} files, and no glob that matches"
            )
        files.update(dict.fromkeys(found))
    return list(files)


def stream_texts(
    files: Sequence[pathlib.Path], text_field: str = "text", on_read: Callable[[int], None] | None = None
) -> Iterator[str]:
    """Yield the texts of `files` one by one, never holding more than one: a line, or the text field of a JSON line.

    Blank lines are passed over.

    Args:
        text_field: which field of the objects in `.jsonl` files holds the text.
        on_read: called with the number of further bytes read from disk, now and then, for a progress bar.

    Raises:
        DataError: a file that cannot be read or is not UTF-8, or a line without the field; names file and line.
    """
    for path in files:
        is_json = _plain_suffix(path) == ".jsonl"
        number, position = 0, 0
        try:
            with open(path, "rb") as raw:
                for number, line in enumerate(_lines(raw, path), start=1):
                    if number % 1000 == 0 and on_read is not None:
                        position, before = raw.tell(), position
                        on_read(position - before)
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                    if text.strip():
                        yield _field(text, text_field) if is_json else text
                if on_read is not None:
                    on_read(raw.tell() - position)
        except UnicodeDecodeError as error:
            raise DataError(f"{path} line {number}: not UTF-8: {error.reason} at byte {error.start}") from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} line {number}: {error}") from error
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"cannot read {path} after line {number}: {error}") from error


def _plain_suffix(path: pathlib.Path) -> str:
    """The suffix with `.gz` looked through."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix


def _lines(raw: IO[bytes], path: pathlib.Path) -> Iterator[bytes]:
    return iter(gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw)


def _field(line: str, name: str) -> str:
    row = json.loads(line)
    if not isinstance(row, dict) or name not in row:
        raise ValueError(f"expected a JSON object with the field {name!r}, got {line[:60]!r}")
    if not isinstance(row[name], str):
        raise ValueError(f"the field {name!r} must be a string, got {type(row[name]).__name__}")
    return row[name]
