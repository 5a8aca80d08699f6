"""Vocabularies learnt from text: special tokens, determinism, files in, `keras-bert train-tokenizer`."""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import pathlib
import subprocess
import sys

import command
import pytest

from keras_bert.data.corpus import stream_texts
from keras_bert.data.corpus_files import find_files
from keras_bert.errors import DataError, TokenizerError
from keras_bert.tokenizers import Tokenizer
from keras_bert.tokenizers.training import train_tokenizer

DATA = pathlib.Path(__file__).parent / "data"
LINES = (DATA / "corpus.txt").read_text(encoding="utf-8").splitlines()


train = functools.partial(command.run, "train-tokenizer")


# === What is learnt ===


@pytest.mark.parametrize(
    ("kind", "size", "specials"),
    [
        ("wordpiece", 300, {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}),
        ("bpe", 400, {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 399}),
        ("unigram", 200, {"<pad>": 0, "<unk>": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}),
    ],
)
def test_size_and_special_tokens(kind, size, specials) -> None:
    tokenizer = train_tokenizer(kind, lambda: LINES, size)
    assert tokenizer.vocab_size == size == len(tokenizer.vocab)
    assert {token: tokenizer.token_to_id(token) for token in specials} == specials
    assert tokenizer.special_ids == tuple(sorted(specials.values()))
    # Frequent words become one token, and any text of the corpus can be expressed.
    assert len(tokenizer.encode("The bridge and the door", None)) < 2 + len("The bridge and the door") / 2
    assert tokenizer.unk_id not in tokenizer.tokenize_batch([" ".join(LINES)])[0]


@pytest.mark.parametrize(("kind", "default"), [("wordpiece", True), ("bpe", False), ("unigram", True)])
def test_case(kind, default, tmp_path) -> None:
    for lowercase in (None, True, False):
        tokenizer = train_tokenizer(kind, lambda: LINES, 350, lowercase=lowercase)
        expected = default if lowercase is None else lowercase
        assert tokenizer.lowercase == expected
        same = tokenizer.encode("THE CAFÉ").token_ids == tokenizer.encode("the cafe").token_ids
        assert same == expected
        tokenizer.save(tmp_path)
        again = Tokenizer.from_pretrained(tmp_path)
        assert again.encode("THE Café, 3,200").token_ids == tokenizer.encode("THE Café, 3,200").token_ids


def test_most_frequent_characters_are_kept() -> None:
    texts = ["aaaa bbbb cc cd", "aaaa bbbb zc e"]
    tokenizer = train_tokenizer("wordpiece", lambda: texts, 60, max_alphabet=3)
    assert {token for token in tokenizer.vocab if len(token) == 1} == {"a", "b", "c"}
    assert all(set(token.removeprefix("##")) <= set("abc") for token in tokenizer.vocab if "[" not in token)


@pytest.mark.parametrize(
    ("kind", "texts", "size", "message"),
    [
        ("wordpiece", [], 100, "the corpus holds no text"),
        ("bpe", [], 300, "the corpus holds no text"),
        ("unigram", [], 100, "the corpus holds no text"),
        ("wordpiece", LINES, 40, "a vocabulary of 40 is too small: .* alone are"),
        ("bpe", LINES, 260, "a vocabulary of 260 is too small: .* alone are 261"),
        ("unigram", LINES, 32, "a vocabulary of 32 is too small"),
        ("wordlevel", LINES, 100, "kind must be"),
    ],
)
def test_what_cannot_be_learnt_is_refused(kind, texts, size, message) -> None:
    with pytest.raises(TokenizerError, match=message):
        train_tokenizer(kind, lambda: texts, size)


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_every_process_learns_the_same(kind) -> None:
    """The trainers' hash tables are seeded anew in each process, so the same process twice would prove nothing."""
    code = f"""
import pathlib, sys
sys.path.insert(0, {str(DATA.parents[2])!r})
from keras_bert.tokenizers.training import train_tokenizer
lines = pathlib.Path({str(DATA / "corpus.txt")!r}).read_text(encoding="utf-8").splitlines()
print(sorted(train_tokenizer({kind!r}, lambda: lines, 400, max_alphabet=40)._backend.get_vocab().items()))
"""
    outputs = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(3)}
    assert len({hashlib.sha256(output).hexdigest() for output in outputs}) == 1


# === Files ===


def test_streamed_files(tmp_path) -> None:
    (tmp_path / "b.txt").write_text("two\n\nthree\r\n", encoding="utf-8")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfone\n", mtime=0))
    (tmp_path / "sub").mkdir()
    rows = [{"text": "four\nfive", "body": "x"}, {"text": "six"}]
    (tmp_path / "sub" / "c.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "notes.md").write_text("not a text file")
    expected = ["one", "two", "three", "four\nfive", "six"]
    assert list(stream_texts(find_files([str(tmp_path)]))) == expected
    globbed = find_files([str(tmp_path / "**" / "*.jsonl"), str(tmp_path / "b.txt"), str(tmp_path / "*.txt")])
    assert list(stream_texts(globbed)) == ["four\nfive", "six", "two", "three"]
    read: list[int] = []
    list(stream_texts([tmp_path / "b.txt", tmp_path / "sub" / "c.jsonl"], on_read=read.append))
    assert sum(read) == sum((tmp_path / name).stat().st_size for name in ("b.txt", "sub/c.jsonl"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"fine\n\xff\xfe\n", "a.txt line 2: not UTF-8: .* at byte 5"),
        ("a.jsonl", b'{"text": "x"}\n{"text"\n', "a.jsonl line 2: "),
        ("a.jsonl", b'{"body": "x"}\n', "a.jsonl line 1: expected a JSON object with the field 'text'"),
        ("a.jsonl", b'{"text": 5}\n', "a.jsonl line 1: the field 'text' must be a string, got int"),
        ("a.txt.gz", gzip.compress(b"a text\n" * 999, mtime=0)[:-9], "cannot read .*a.txt.gz"),
        ("a.txt.gz", b"not gzip", "cannot read .*a.txt.gz after line 0"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, message) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(stream_texts([tmp_path / name]))


@pytest.mark.parametrize("source", ["absent.txt", "*.none", "."])
def test_sources_without_files(tmp_path, monkeypatch, source) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        find_files([source])


# === The command ===


def test_command(tmp_path, capsys) -> None:
    output = tmp_path / "out"
    assert train(DATA / "corpus.txt", "--kind", "bpe", "--vocab-size", 320, "--output", output) == 0
    assert "bpe vocabulary of 320" in capsys.readouterr().out
    tokenizer = Tokenizer.from_pretrained(output)
    assert (tokenizer.kind, tokenizer.vocab_size) == ("bpe", 320)


def test_command_goes_on_past_bytes_that_are_not_utf_8(tmp_path, capsys) -> None:
    bad, output = tmp_path / "bad.txt", tmp_path / "out"
    bad.write_bytes((DATA / "corpus.txt").read_bytes() + b"caf\xe9\n")
    options = (bad, "--kind", "bpe", "--vocab-size", 320, "--output", output)
    assert train(*options) == 2
    assert "not UTF-8: invalid continuation byte at byte 4769; --errors replace puts" in capsys.readouterr().err
    assert train(*options, "--errors", "replace") == 0
    assert Tokenizer.from_pretrained(output).vocab_size == 320


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.txt",), "absent.txt: no such file"),
        ((DATA / "corpus.txt", "--vocab-size", 4), "--vocab-size must be at least 32"),
        ((DATA / "corpus.txt", "--vocab-size", 40), "too small"),
        ((DATA / "corpus.txt", "--max-alphabet", 0), "--max-alphabet must be at least 1"),
    ],
)
def test_command_refuses(tmp_path, capsys, arguments, message) -> None:
    output = tmp_path / "out"
    assert train(*arguments, "--output", output) == 2
    error = capsys.readouterr().err
    assert "error: " in error
    assert message in error
    assert not output.exists()
