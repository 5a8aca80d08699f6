"""Corpora: files read in blocks of bounded size that end between documents, decoded to documents.

One reader serves `keras-bert train-tokenizer` and `keras-bert prepare-data`. Where blocks end depends on the files and
the block size alone, so the work on blocks can be shared out in any way without changing what comes of it.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import pathlib
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Literal, get_args

from ..errors import DataError
from .corpus_files import plain_suffix

# A longer document is cut into several, so that memory stays bounded: about a million tokens.
MAX_DOCUMENT_BYTES = 4 << 20
MAX_ROW_BYTES = 64 << 20

DocumentFormat = Literal["auto", "file", "blank-line", "line", "jsonl"]
DecodingErrors = Literal["strict", "replace"]

_BOM = b"\xef\xbb\xbf"
_BLANK_LINE = re.compile(rb"\n[ \t\r\f\v]*\n")


@dataclasses.dataclass(frozen=True)
class CorpusFormat:
    """How documents stand in files.

    Attributes:
        documents: "file" (one a file), "blank-line" (blank lines between), "line" (one a line), "jsonl" (one a JSON
            object a line), or "auto": "jsonl" for `.jsonl` files, "file" for others. `.jsonl` files are rows always.
        text_field: the field of a JSON object that holds the text.
        errors: what to do about bytes that are not UTF-8: "strict" raises, "replace" puts U+FFFD for them.
    """

    documents: DocumentFormat = "auto"
    text_field: str = "text"
    errors: DecodingErrors = "strict"

    def __post_init__(self) -> None:
        for name, allowed in (("documents", get_args(DocumentFormat)), ("errors", get_args(DecodingErrors))):
            if getattr(self, name) not in allowed:
                raise DataError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")

    def of_file(self, path: pathlib.Path) -> DocumentFormat:
        """The format of one file, never "auto"."""
        if self.documents == "jsonl" or plain_suffix(path) == ".jsonl":
            return "jsonl"
        return "file" if self.documents == "auto" else self.documents


@dataclasses.dataclass(frozen=True)
class Piece:
    """Bytes of one file that hold whole documents.

    Attributes:
        offset: of the first byte in the file (of the unpacked text for `.gz`).
        line: number of the first line, from 1.
    """

    path: pathlib.Path
    offset: int
    line: int
    data: bytes


def read_blocks(
    files: Sequence[pathlib.Path],
    corpus: CorpusFormat,
    block_bytes: int,
    on_read: Callable[[int], None] | None = None,
) -> Iterator[list[Piece]]:
    """Yield the files in blocks of at least `block_bytes`, but for the last, each made of whole documents.

    A block is larger only where a document is. The cut is made without decoding: this runs at the disk's speed.

    Args:
        on_read: called with the number of further bytes read from disk, for a progress bar.

    Raises:
        DataError: a file that cannot be read; names it and the line.
    """
    block: list[Piece] = []
    size = 0
    for path in files:
        for piece in _read_pieces(path, corpus, block_bytes, on_read):
            block.append(piece)
            size += len(piece.data)
            if size >= block_bytes:
                yield block
                block, size = [], 0
    if block:
        yield block


def documents(piece: Piece, corpus: CorpusFormat, on_replaced: Callable[[int], None] | None = None) -> Iterator[str]:
    """Yield the documents of a piece, blank ones left out.

    Args:
        on_replaced: called with the number of characters put for bytes that are not UTF-8 (`errors="replace"`).

    Raises:
        DataError: bytes that are not UTF-8, a row that is not JSON or lacks the field; names file, line and byte.
    """
    kind = corpus.of_file(piece.path)
    line = piece.line
    for start, end in _spans(piece.data, kind):
        data = piece.data[start:end]
        text = _decode(piece, start, data, corpus.errors, on_replaced)
        if text and not text.isspace():
            if kind == "jsonl":
                try:
                    text = _field(text, corpus.text_field)
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{piece.path} line {line}: {error}") from error
            yield text
        line += 1


def stream_texts(
    files: Sequence[pathlib.Path],
    text_field: str = "text",
    on_read: Callable[[int], None] | None = None,
    errors: DecodingErrors = "strict",
) -> Iterator[str]:
    """Yield the texts of `files` one by one: a line, or the text field of a JSON line. Blank lines are passed over.

    Raises:
        DataError: a file that cannot be read or is not UTF-8, or a line without the field; names file and line.
    """
    corpus = CorpusFormat("line", text_field, errors)
    for block in read_blocks(files, corpus, 1 << 20, on_read):
        for piece in block:
            for text in documents(piece, corpus):
                yield text.rstrip("\r\n")


# === Cutting bytes ===


def _read_pieces(
    path: pathlib.Path, corpus: CorpusFormat, block_bytes: int, on_read: Callable[[int], None] | None
) -> Iterator[Piece]:
    kind = corpus.of_file(path)
    limit = MAX_ROW_BYTES if kind == "jsonl" else MAX_DOCUMENT_BYTES
    offset, line, position, data = 0, 1, 0, b""
    try:
        with open(path, "rb") as raw:
            stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw  # type: ignore[assignment]
            while more := stream.read(limit if kind == "file" else min(block_bytes, limit)):
                if on_read is not None:
                    position, before = raw.tell(), position
                    on_read(position - before)
                data += more
                if offset == 0 and data.startswith(_BOM):
                    data, offset = data[len(_BOM) :], len(_BOM)
                while cut := _piece_end(data, kind, limit):
                    yield Piece(path, offset, line, data[:cut])
                    offset, line, data = offset + cut, line + data.count(b"\n", 0, cut), data[cut:]
                if len(data) > limit:
                    raise DataError(f"{path} line {line}: a row longer than {limit} bytes")
            if data:
                yield Piece(path, offset, line, data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path} after line {line - 1}: {error}") from error


def _piece_end(data: bytes, kind: DocumentFormat, limit: int) -> int:
    """How much of `data` is whole documents; 0 when more must be read, or no limit has been passed."""
    cut = 0 if kind == "file" else _last_boundary(data, kind)
    return _forced_cut(data) if cut == 0 and len(data) > limit and kind != "jsonl" else cut


def _last_boundary(data: bytes, kind: DocumentFormat) -> int:
    """Where the last document that has ended ends; 0 when none has."""
    end = data.rfind(b"\n")
    if kind != "blank-line":
        return end + 1
    while end > 0:
        before = data.rfind(b"\n", 0, end)
        if before >= 0 and not data[before + 1 : end].strip():
            return end + 1
        end = before
    return 0


def _forced_cut(data: bytes) -> int:
    """Where to cut a document that is too long: after the last blank line, line or word of its first part."""
    head = data[:MAX_DOCUMENT_BYTES]
    cut = _last_boundary(head, "blank-line") or _last_boundary(head, "line") or head.rfind(b" ") + 1
    if cut:
        return cut
    cut = len(head) - 1
    while cut > len(head) - 4 and head[cut] & 0xC0 == 0x80:  # inside a character
        cut -= 1
    return cut


def _spans(data: bytes, kind: DocumentFormat) -> Iterator[tuple[int, int]]:
    """Start and end of each document; a too long one in parts."""
    start = 0
    while start < len(data):
        if kind == "file":
            end = len(data)
        elif kind == "blank-line":
            found = _BLANK_LINE.search(data, start)
            end = found.end() if found else len(data)
        else:
            end = data.find(b"\n", start) + 1 or len(data)
        if kind != "jsonl" and end - start > MAX_DOCUMENT_BYTES:
            end = start + _forced_cut(data[start : start + MAX_DOCUMENT_BYTES])
        yield start, end
        start = end


def _decode(
    piece: Piece, start: int, data: bytes, errors: DecodingErrors, on_replaced: Callable[[int], None] | None
) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if errors == "strict":
            line = piece.line + piece.data.count(b"\n", 0, start + error.start)
            offset = piece.offset + start + error.start
            raise DataError(
                f"{piece.path} line {line}: not UTF-8: {error.reason} at byte {offset}; --errors replace puts U+FFFD "
                "for such bytes and goes on"
            ) from error
        text = data.decode("utf-8", "replace")
        if on_replaced is not None:
            on_replaced(text.count("\ufffd") - data.count("\ufffd".encode()))
        return text


def _field(line: str, name: str) -> str:
    row = json.loads(line)
    if not isinstance(row, dict) or name not in row:
        raise ValueError(f"expected a JSON object with the field {name!r}, got {line[:60]!r}")
    if not isinstance(row[name], str):
        raise ValueError(f"the field {name!r} must be a string, got {type(row[name]).__name__}")
    return row[name]
