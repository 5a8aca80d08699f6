"""Search over a small corpus: against cosine by hand, through the command, and with damaged indexes."""

import io
import json
import os
import pathlib
import pickle
import random
import shutil
import stat
import struct
import subprocess
import sys
import zipfile

import keras_bert_edge
import numpy as np
import pytest
import tiny_model
from keras_bert_edge import EdgeError
from keras_bert_edge.search import build_index, load_index, save_index, search
from tflite_file import FIXTURES

VOCAB = {token: index for index, token in enumerate(tiny_model.WORDS)}
TEXTS = ["a cat", "the dog was happy", "paris is the capital of france", "", "a cat", "a film \ud800 \u00e9t\u00e9"]


def vector(text):
    table = tiny_model.embedding_table(len(VOCAB))
    words = [VOCAB["[CLS]"], *(VOCAB[word] for word in text.split()), VOCAB["[SEP]"]]
    return tiny_model.sentence_embedding(table, words).astype(np.float64)


@pytest.fixture(scope="module")
def index_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "index.npz"
    save_index(build_index(keras_bert_edge.load(FIXTURES / "embedding.tflite", workers=2), TEXTS), path)
    return path


def test_hits_are_ranked_by_cosine(open_model, index_file):
    index = load_index(index_file)
    assert index.texts == TEXTS
    for query in ("a dog", "capital of france", ""):
        similarities = [float(vector(text) @ vector(query)) for text in TEXTS[:5]]
        hits = [hit for hit in search(open_model("embedding"), index, query, top_k=6) if hit.number < 5]
        assert [hit.number for hit in hits] == sorted(range(5), key=lambda i: (-round(similarities[i], 6), i))
        for hit in hits:
            assert hit.similarity == pytest.approx(similarities[hit.number], abs=1e-5)
            assert hit.text == TEXTS[hit.number]


def test_misuse_is_named(open_model, index_file):
    model, index = open_model("embedding"), load_index(index_file)
    with pytest.raises(EdgeError, match="top_k must be an integer of at least 1"):
        search(model, index, "a", top_k=0)
    with pytest.raises(EdgeError, match="needs a model for sentence_embedding"):
        search(open_model("pair"), index, "a")
    with pytest.raises(EdgeError, match="no texts"):
        build_index(model, [])
    with pytest.raises(EdgeError, match="not one string"):
        build_index(model, "a cat")
    with pytest.raises(EdgeError, match="a query must be a string, not list"):
        search(model, index, ["a cat"])
    index.model = "0" * 64
    with pytest.raises(EdgeError, match="made by another model file"):
        search(model, index, "a")
    with pytest.raises(EdgeError, match="cannot be read"):
        load_index(index_file.parent / "nothing.npz")
    with pytest.raises(EdgeError, match="cannot be written"):
        save_index(index, index_file.parent / "no folder" / "index.npz")


def test_the_model_that_was_loaded_makes_and_reads_the_index(tmp_path, monkeypatch, index_file):
    """Whatever has become of its file: replaced, deleted, or out of reach of the path that it was loaded by."""
    shutil.copy(FIXTURES / "embedding.tflite", tmp_path / "model.tflite")
    monkeypatch.chdir(tmp_path)
    model = keras_bert_edge.load("model.tflite")
    index = load_index(index_file)
    expected = search(model, index, "a cat")
    shutil.copy(FIXTURES / "embedding_lengths.tflite", tmp_path / "other")
    (tmp_path / "other").replace(tmp_path / "model.tflite")
    assert search(model, index, "a cat") == expected
    assert build_index(model, TEXTS).model == index.model
    with pytest.raises(EdgeError, match="made by another model file"):
        search(keras_bert_edge.load("model.tflite"), index, "a cat")
    (tmp_path / "model.tflite").unlink()
    assert search(model, build_index(model, TEXTS), "a cat") == expected


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_an_index_is_for_whom_other_new_files_are(index_file, tmp_path, umask):
    before = os.umask(umask)
    try:
        save_index(load_index(index_file), tmp_path / "index.npz")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "index.npz").stat().st_mode) == 0o666 & ~umask
    assert os.listdir(tmp_path) == ["index.npz"]


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


HEADERS = [
    "{'descr': '<f4', 'fortran_order': False, 'shape': (17592186044416, 2)}",  # 128 TiB
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1180591620717411303424, 2)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-6, -8)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (6, 4)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (",  # tokenize.TokenError inside numpy
    "(" * 5000,  # MemoryError or RecursionError inside Python's parser
]


def with_header(members, header):
    """An index whose vectors have another header."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            if name == "vectors.npy":
                (length,) = struct.unpack_from("<H", content, 8)
                content = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + content[10 + length :]
            archive.writestr(name, content)
    return stream.getvalue()


def test_the_writer_of_headers_can_write_a_good_one(index_file, tmp_path):
    with zipfile.ZipFile(index_file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    path = tmp_path / "index.npz"
    path.write_bytes(with_header(members, "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 8)}"))
    np.testing.assert_array_equal(load_index(path).vectors, load_index(index_file).vectors)


def test_bad_indexes_are_refused(index_file, tmp_path):
    with np.load(index_file) as stored:
        good = dict(stored)
    with zipfile.ZipFile(index_file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    compressed = io.BytesIO()
    with zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    encrypted = bytearray(index_file.read_bytes())
    for signature, flags_at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = -1
        while (at := encrypted.find(signature, at + 1)) >= 0:
            encrypted[at + flags_at] |= 1
    path = tmp_path / "index.npz"
    for content in (
        bytes(encrypted),
        *(with_header(members, header) for header in HEADERS),
        b"",
        b"text",
        pickle.dumps({"vectors": 1}),
        compressed.getvalue(),
        npz(vectors=good["vectors"]),
        npz(**{**good, "vectors": np.array([object()])}),
        npz(**{**good, "vectors": good["vectors"].astype(np.float64)}),
        npz(**{**good, "vectors": good["vectors"] * np.float32(np.nan)}),
        npz(**{**good, "ends": good["ends"][::-1]}),
        npz(**{**good, "ends": good["ends"][:-1]}),
        npz(**{**good, "texts": good["texts"] ^ np.uint8(0xFF)}),
        npz(**good, more=good["ends"]),
    ):
        path.write_bytes(content)
        with pytest.raises(EdgeError):
            load_index(path)


def test_damage_raises_nothing_else(index_file, tmp_path):
    whole = index_file.read_bytes()
    path = tmp_path / "index.npz"
    draw = random.Random(0)
    refused = 0
    for _ in range(500):
        content = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(bytes(content[: draw.choice([None, draw.randrange(len(content))])]))
        try:
            load_index(path)  # bytes that mean nothing, such as time stamps, may change
        except EdgeError:
            refused += 1
    assert refused > 400


def test_the_command(tmp_path):
    (tmp_path / "texts.txt").write_text("a cat\n\nthe dog was happy\nparis\n", encoding="utf-8")
    folder = pathlib.Path(keras_bert_edge.__file__).parents[1]
    command = [sys.executable, "-m", "keras_bert_edge", "search", str(FIXTURES / "embedding.tflite")]
    options = ["--index", str(tmp_path / "i.npz")]

    def run(*arguments):
        done = subprocess.run(
            [*command, *arguments, *options], capture_output=True, check=False, cwd=folder, stdin=subprocess.DEVNULL
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    status, out, err = run("a cat", "--texts", str(tmp_path / "texts.txt"), "--top-k", "1")
    assert (status, out, err) == (0, "1.0000\t1\ta cat\n", f"{tmp_path / 'i.npz'}: 3 texts\n")
    assert json.loads(run("the dog was happy", "--json")[1])[0]["text"] == "the dog was happy"
    (tmp_path / "i.npz").write_bytes(b"PK")
    status, out, err = run("a")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "is no index" in err
