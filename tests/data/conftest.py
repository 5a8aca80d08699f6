"""A corpus and its shards, made once a file of tests."""

from __future__ import annotations

import gzip
import json
import pathlib

import pytest
from preparing import SETTINGS, Documents, make_documents
from tiny import tiny_tokenizer

import keras_bert as kb
from keras_bert.data.corpus_files import find_files
from keras_bert.data.preparation import prepare


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer(folder).save(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder) -> kb.Tokenizer:
    return kb.Tokenizer.from_pretrained(tokenizer_folder)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> tuple[pathlib.Path, Documents]:
    """Files of every sort, about 0.5 MB, and the documents in them in the order of the corpus."""
    folder = tmp_path_factory.mktemp("corpus")
    blank, rows, packed, single = (make_documents(n, n) for n in (450, 350, 250, 20))
    (folder / "a.txt").write_text("\n\n".join("\n".join(document) for document in blank), encoding="utf-8")
    (folder / "b.jsonl").write_text("".join(json.dumps({"text": " ".join(d)}) + "\n" for d in rows), encoding="utf-8")
    text = "\r\n\r\n".join("\r\n".join(document) for document in packed)
    (folder / "c.txt.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "d").mkdir()
    for i, document in enumerate(single):
        (folder / "d" / f"{i:02d}.txt").write_text(" ".join(document), encoding="utf-8")
    return folder, [*blank, *rows, *packed, *single]


@pytest.fixture(scope="module")
def prepared(corpus, tokenizer, tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("prepared") / "out"
    prepare(find_files([str(corpus[0])]), tokenizer, folder, SETTINGS, workers=2)
    return folder
