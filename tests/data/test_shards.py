"""Records as TensorFlow writes them; the manifest; shards that were damaged; which documents go to which shard."""

from __future__ import annotations

import hashlib
import itertools
import json
import pathlib

import numpy as np
import pytest

from keras_bert.data.assignment import KEYS_END, shard_boundaries, shard_count
from keras_bert.data.parts import check_part, document_keys, read_range, sort_by_key, write_part
from keras_bert.data.shards import MANIFEST, Manifest, Shard, encode_document, read_manifest, token_dtype, verify
from keras_bert.data.tfrecord import encode_example, encode_record
from keras_bert.data.token_documents import TokenDocuments
from keras_bert.errors import DataError

# === Bytes ===


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20000])
def test_records_are_those_of_tensorflow(tmp_path, size) -> None:
    import tensorflow as tf

    data = np.random.default_rng(size).bytes(size)
    values = {"token_ids": data, "sentence_lengths": b"", "document": size << 31, "negative": -5}
    example = tf.train.Example()
    example.ParseFromString(encode_example(values))
    feature = example.features.feature
    assert feature["token_ids"].bytes_list.value == [data]
    assert feature["sentence_lengths"].bytes_list.value == [b""]
    assert (feature["document"].int64_list.value, feature["negative"].int64_list.value) == ([size << 31], [-5])
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        writer.write(data)
        writer.write(b"second")
    assert (tmp_path / "theirs").read_bytes() == encode_record(data) + encode_record(b"second")


def test_token_types() -> None:
    assert [token_dtype(size) for size in (10, 65536, 65537)] == ["uint16", "uint16", "int32"]
    record = encode_document(np.array([1, 65535], ">u2"), np.array([2]), 7)
    assert b"\x01\x00\xff\xff" in record
    assert b"\x02\x00\x00\x00" in record


# === The manifest ===


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    """Two shards, written by hand."""
    shards = []
    for name in ("a", "b"):
        data = encode_document(np.array([1, 2, 3], np.uint16), np.array([2, 1]), len(shards))
        (tmp_path / name).write_bytes(data)
        shards.append(Shard(name, 1, 2, 3, len(data), hashlib.sha256(data).hexdigest()))
    (tmp_path / "tokenizer.json").write_text("{}")
    digest = hashlib.sha256(b"{}").hexdigest()
    manifest = Manifest(1, 0, digest, 9, "uint16", 2, 4, 6, tuple(shards), ({"file": "x", "bytes": 3},), {})
    (tmp_path / MANIFEST).write_text(json.dumps(manifest.to_json()))
    return tmp_path


def test_manifest_comes_back(folder) -> None:
    manifest = verify(folder)
    assert manifest == read_manifest(folder)
    assert [shard.file for shard in manifest.shards] == ["a", "b"]
    assert (manifest.documents, manifest.sentences, manifest.tokens, manifest.token_dtype) == (2, 4, 6, "uint16")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / MANIFEST).unlink(), "has no manifest.json"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "manifest.json cannot be read"),
        (lambda folder: (folder / MANIFEST).write_text('{"a": 1}'), 'expected "format": "keras_bert shards"'),
        (lambda folder: edit(folder, version=2), "expected format version 1, got 2"),
        (lambda folder: edit(folder, tokens=7), "tokens of the shards do not add up to 7"),
        (lambda folder: edit(folder, extra=7), "a field is missing or unknown: .*extra"),
    ],
)
def test_broken_manifests_are_named(folder, change, message) -> None:
    change(folder)
    with pytest.raises(DataError, match=message):
        read_manifest(folder)


def edit(folder: pathlib.Path, **values: int) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**content, **values}))


def test_broken_shards_are_named(folder) -> None:
    data = bytearray((folder / "b").read_bytes())
    data[-6] ^= 1
    (folder / "b").write_bytes(data)
    with pytest.raises(DataError, match=r"/b has SHA-256 .* its bytes have changed"):
        verify(folder)
    (folder / "b").write_bytes(data[:-1])
    with pytest.raises(DataError, match=f"/b has {len(data) - 1} bytes, expected {len(data)}: it was cut short"):
        verify(folder)
    (folder / "b").unlink()
    with pytest.raises(DataError, match="/b cannot be read"):
        verify(folder)
    (folder / "tokenizer.json").write_text("{ }")
    with pytest.raises(DataError, match=r"tokenizer.json is not the tokenizer"):
        verify(folder)


# === Assignment ===


@pytest.mark.parametrize("pieces", [1, 5])
@pytest.mark.parametrize(("documents", "shards"), [(1, 1), (2, 1), (5, 2), (29, 14), (3000, 40)])
def test_shards_are_even_samples(documents, shards, pieces) -> None:
    rng = np.random.default_rng(documents)
    keys = rng.integers(0, KEYS_END, documents, np.uint64)
    counts = rng.integers(1, 1000, documents)
    counts[0] = 100_000
    slices = [KEYS_END * i // pieces for i in range(pieces + 1)]
    chosen = [[i for i in range(documents) if low <= int(keys[i]) < high] for low, high in itertools.pairwise(slices)]

    def chunks():
        return ((keys[i], counts[i]) for i in chosen)

    boundaries = shard_boundaries(chunks, documents, int(counts.sum()), shards)
    assert (boundaries[0], boundaries[-1], len(boundaries)) == (0, KEYS_END, shards + 1)
    members = [[i for i in range(documents) if a <= int(keys[i]) < b] for a, b in itertools.pairwise(boundaries)]
    assert sorted(itertools.chain(*members)) == list(range(documents))
    assert min(map(len, members)) >= min(2, documents)
    if documents == 3000:
        rest = [sum(counts[member]) for member in members if 0 not in member]
        assert np.percentile(rest, 90) < counts.sum() / shards + 1000


def test_shard_count() -> None:
    assert [shard_count(n, t, 100) for n, t in ((9, 99), (9, 101), (9, 900), (1, 900))] == [1, 2, 4, 1]
    assert shard_count(9, 10, 100, asked=4) == 4
    with pytest.raises(DataError, match="5 shards asked for, but the corpus has 9 documents: expected at most 4"):
        shard_count(9, 10, 100, asked=5)


# === Parts ===


def part_of(count: int) -> TokenDocuments:
    counts = np.arange(1, count + 1)
    ids = np.concatenate([np.full(n, n) for n in counts] or [[]]).astype(np.uint16)
    return TokenDocuments(ids, counts.astype(np.int32), counts.astype(np.int64), np.ones(count, np.int64))


@pytest.mark.parametrize("count", [0, 1, 30])
def test_parts_come_back_by_key(tmp_path, count) -> None:
    keys = document_keys(3, 1, 4, count)
    path = tmp_path / "part"
    write_part(path, sort_by_key(part_of(count), keys), "source", 2)
    summary = check_part(path, "source")
    assert summary is not None
    assert (summary.documents, summary.tokens, summary.replaced) == (count, count * (count + 1) // 2, 2)
    for low, high in ((0, KEYS_END), (KEYS_END // 3, KEYS_END // 2), (KEYS_END - 1, KEYS_END), (0, 0)):
        found = read_range(path, low, high)
        expected = sorted((int(key), i) for i, key in enumerate(keys) if low <= int(key) < high)
        assert list(zip(found.keys.tolist(), found.numbers.tolist(), strict=True)) == expected
        for (ids, lengths), (_, i) in zip(found.documents.slices(), expected, strict=True):
            assert (ids.tolist(), lengths.tolist()) == ([i + 1] * (i + 1), [i + 1])


def test_damaged_parts_do_not_count(tmp_path) -> None:
    path = tmp_path / "part"
    write_part(path, sort_by_key(part_of(5), document_keys(0, 0, 0, 5)), "source", 0)
    whole = path.read_bytes()
    assert check_part(path, "another source") is None
    for damaged in (whole[:-1], whole[:20], b"", whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:]):
        path.write_bytes(damaged)
        assert check_part(path, "source") is None
    assert check_part(tmp_path / "absent", "source") is None


def test_keys_are_pure_and_uniform() -> None:
    keys = document_keys(1, 2, 3, 20_000)
    assert (keys == document_keys(1, 2, 3, 20_000)).all()
    assert all((keys != document_keys(*other, 20_000)).all() for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)))
    # A tenth of the range holds a tenth of them: 2000 with a standard deviation of 42.
    assert (abs(np.histogram(keys, 10, (0, float(KEYS_END)))[0] - 2000) < 200).all()
