"""`keras-bert prepare-data` as a user runs it."""

from __future__ import annotations

import functools
import json
import pathlib
import sys

import command
import pytest
from tiny import tiny_tokenizer

from keras_bert.data.shards import read_manifest

run = functools.partial(command.run, "prepare-data")


@pytest.fixture
def tokenizer(tmp_path) -> pathlib.Path:
    tiny_tokenizer(tmp_path / "tokenizer").save(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def test_prepare_reports_and_goes_on(tmp_path, tokenizer, capsys) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    corpus.mkdir()
    for i in range(6):
        (corpus / f"{i}.jsonl").write_text(json.dumps({"body": f"The film was bad. It was {'very ' * i}sad."}))
    arguments = (corpus, "--tokenizer", tokenizer, "-o", out, "--text-field", "body", "--shards", 2, "--seed", 5)
    assert run(*arguments, "--workers", 2) == 0
    report = json.loads((out / "report.json").read_text())
    # "The film was bad ." is 5 tokens, "It was sad ." 4, and i times "very".
    expected = {"documents": 6, "sentences": 12, "tokens": 6 * 9 + 15, "shards": 2, "seed": 5, "replaced_characters": 0}
    assert {name: report[name] for name in expected} == expected
    assert report["settings"]["text_field"] == "body"
    manifest = read_manifest(out)
    assert (manifest.documents, manifest.tokens, len(manifest.shards)) == (6, 69, 2)
    assert "69" in capsys.readouterr().out
    assert run(*arguments, "--workers", 1) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert json.loads((out / "report.json").read_text()) == report


def test_replaced_bytes_are_counted(tmp_path, tokenizer, capsys) -> None:
    (tmp_path / "a.txt").write_bytes(b"The film \xff was bad.\n")
    assert run(tmp_path / "a.txt", "--tokenizer", tokenizer, "-o", tmp_path / "out", "--errors", "replace") == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["replaced_characters"] == 1
    assert "characters put for bytes that are not UTF-8: 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.txt", b"The film \xff", (), "a.txt line 1: not UTF-8: invalid start byte at byte 9"),
        ("a.txt", b" \n\n", (), "the corpus holds no text: 1 files"),
        ("a.txt", b"", (), "the corpus holds no text: 1 files"),
        ("a.jsonl", b'{"text": "x"}\n{"body": "y"}\n', (), "a.jsonl line 2: expected a JSON object with the field"),
        ("b.txt", b"x", (), "a.*: no such file"),
        ("a.txt", b"x", ("--shards", 2), "2 shards asked for, but the corpus has 1 documents: expected at most 1"),
    ],
)
def test_bad_input_is_one_line(tmp_path, tokenizer, capsys, name, content, options, message) -> None:
    (tmp_path / name).write_bytes(content)
    assert run(tmp_path / "a.*", "--tokenizer", tokenizer, "-o", tmp_path / "out", "--workers", 1, *options) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.rstrip().splitlines()[-1].startswith("error: ")
    assert message in error
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_tokenizer_that_is_missing(tmp_path, capsys) -> None:
    (tmp_path / "a.txt").write_text("x")
    assert run(tmp_path / "a.txt", "--tokenizer", tmp_path / "none", "-o", tmp_path / "out") == 2
    assert "none" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_beam_without_the_extra(tmp_path, tokenizer, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.delitem(sys.modules, "keras_bert.data.preparation_beam", raising=False)
    (tmp_path / "a.txt").write_text("x")
    assert run(tmp_path / "a.txt", "--tokenizer", tokenizer, "-o", tmp_path / "out", "--runner", "beam") == 2
    assert "pip install keras-bert-toolkit[beam]" in capsys.readouterr().err


def test_beam_from_the_command(tmp_path, tokenizer) -> None:
    pytest.importorskip("apache_beam")
    for i in range(4):
        (tmp_path / f"{i}.txt").write_text("The film was bad. It was sad." * (i + 1))
    arguments = (tmp_path / "?.txt", "--tokenizer", tokenizer, "--shards", 2)
    assert run(*arguments, "-o", tmp_path / "local", "--workers", 1) == 0
    assert run(*arguments, "-o", tmp_path / "beam", "--runner", "beam", "--beam=--runner=DirectRunner") == 0
    assert read_manifest(tmp_path / "beam") == read_manifest(tmp_path / "local")
