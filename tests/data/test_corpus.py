"""Documents out of files: formats, cuts that do not depend on the block size, and every fault named."""

from __future__ import annotations

import gzip
import itertools
import json
import pathlib
import random

import pytest

from keras_bert.data import corpus as module
from keras_bert.data.corpus import CorpusFormat, documents, read_blocks
from keras_bert.data.corpus_files import group_files
from keras_bert.errors import DataError


def read(files: list[pathlib.Path], corpus: CorpusFormat, block_bytes: int = 1 << 20) -> list[str]:
    blocks = read_blocks(files, corpus, block_bytes)
    return [text for piece in itertools.chain.from_iterable(blocks) for text in documents(piece, corpus)]


TEXT = "First one.\nIt goes on.\n\nSecond.\r\n \r\nThird é.\n\n\n\nLast"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("auto", [TEXT]),
        ("file", [TEXT]),
        ("blank-line", ["First one.\nIt goes on.", "Second.", "Third é.", "Last"]),
        ("line", ["First one.", "It goes on.", "Second.", "Third é.", "Last"]),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_formats(tmp_path, kind, expected, name) -> None:
    path = tmp_path / name
    data = b"\xef\xbb\xbf" + TEXT.encode()
    path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    (tmp_path / "b.jsonl").write_text('{"text": "row\\n\\none"}\n\n{"text": "row two"}')
    for block_bytes in (1, 7, 30, 1 << 20):
        found = read([path, tmp_path / "b.jsonl"], CorpusFormat(kind), block_bytes)
        assert [text.strip() for text in found] == [*expected, "row\n\none", "row two"]


def test_json_in_any_file(tmp_path) -> None:
    (tmp_path / "a.log").write_text('{"body": "x"}\n{"body": "y"}\n')
    assert read([tmp_path / "a.log"], CorpusFormat("jsonl", "body")) == ["x", "y"]


@pytest.mark.parametrize("kind", ["blank-line", "line", "file"])
def test_blocks_are_whole_documents_and_bounded(tmp_path, monkeypatch, kind) -> None:
    """Documents are those of a plain split, whatever the block size; too long ones are cut, nothing is lost."""
    monkeypatch.setattr(module, "MAX_DOCUMENT_BYTES", 400)
    random.seed(1)
    words = ["é", "word", "naïve", "日本語", "x" * 30]
    text = "".join(random.choice(words) + random.choice([" ", " ", "\n", "\n\n", "\r\n\r\n"]) for _ in range(4000))
    text += "y" * 1500 + "日" * 500
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode())
    corpus = CorpusFormat(kind)
    found = [read([path], corpus, size) for size in (1, 64, 1000, 1 << 20)]
    assert all(texts == found[0] for texts in found)
    assert "".join("".join(found[0]).split()) == "".join(text.split())
    assert max(len(document.encode()) for document in found[0]) <= 400
    assert not any("\ufffd" in document for document in found[0])
    for block in read_blocks([path], corpus, 1000):
        assert sum(len(piece.data) for piece in block) <= 1000 + 2 * 400


def test_small_files_share_a_block(tmp_path) -> None:
    files = [tmp_path / f"{i}.txt" for i in range(7)]
    for path, size in zip(files, (3, 4, 5, 20, 1, 1, 9), strict=True):
        path.write_bytes(b"x" * size)
    assert group_files(files, 10) == [files[:2], [files[2]], [files[3]], files[4:6], [files[6]]]
    blocks = list(read_blocks(files, CorpusFormat(), 10))
    assert [[len(piece.data) for piece in block] for block in blocks] == [[3, 4, 5], [20], [1, 1, 9]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"fine\n\nna\xc3\xafve \xff x", "a.txt line 3: not UTF-8: invalid start byte at byte 13"),
        ("a.txt", b"\xef\xbb\xbffine\n\xff", "a.txt line 2: not UTF-8: invalid start byte at byte 8"),
        ("a.jsonl", b'{"text": "x"}\n\n{"text": "\xff"}', "a.jsonl line 3: not UTF-8: .* at byte 25"),
        (
            "a.jsonl",
            b'{"text": "x"}\n\n{"body": "y"}\n',
            "a.jsonl line 3: expected a JSON object with the field 'text'",
        ),
        ("a.jsonl", b'{"text": "x"}\n[]\n', "a.jsonl line 2: expected a JSON object"),
        ("a.jsonl", b'{"text": null}\n', "a.jsonl line 1: the field 'text' must be a string, got NoneType"),
        ("a.jsonl", b"[" * 100000, "a.jsonl line 1: "),
        ("a.txt.gz", gzip.compress(b"x\n" * 99, mtime=0)[:-9], "cannot read .*a.txt.gz"),
    ],
)
@pytest.mark.parametrize("block_bytes", [4, 1 << 20])
def test_faults_are_named(tmp_path, name, content, message, block_bytes) -> None:
    (tmp_path / name).write_bytes(content)
    for kind in ("auto", "blank-line", "line"):
        with pytest.raises(DataError, match=message):
            read([tmp_path / name], CorpusFormat(kind), block_bytes)


def test_a_row_beyond_reason(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_ROW_BYTES", 100)
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n' + json.dumps({"text": "y" * 200}))
    with pytest.raises(DataError, match=r"a\.jsonl line 2: a row longer than 100 bytes"):
        read([tmp_path / "a.jsonl"], CorpusFormat(), 10)


def test_replaced_characters_are_counted(tmp_path) -> None:
    (tmp_path / "a.txt").write_bytes(b"good \xef\xbf\xbd\n\nbad \xff\xff\n\nworse \xe2\x82\n")
    replaced: list[int] = []
    corpus = CorpusFormat("blank-line", errors="replace")
    texts = [t for block in read_blocks([tmp_path / "a.txt"], corpus, 9) for p in block
             for t in documents(p, corpus, replaced.append)]  # fmt: skip
    assert [text.strip() for text in texts] == ["good \ufffd", "bad \ufffd\ufffd", "worse \ufffd"]
    assert sum(replaced) == 3


def test_unknown_choices() -> None:
    with pytest.raises(DataError, match=r"documents must be one of auto, .*, got 'book'"):
        CorpusFormat("book")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="errors must be one of strict, replace, got"):
        CorpusFormat(errors="ignore")  # type: ignore[arg-type]
