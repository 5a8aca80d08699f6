"""No damaged or hostile file gets past the archive reader, and each is refused with an EdgeError and nothing else."""

import functools
import io
import json
import os
import random
import shutil
import struct
import sys
import zipfile
import zlib

import keras_bert_edge
import pytest
import tflite_file
from keras_bert_edge import EdgeError
from keras_bert_edge.archive import read_members
from tflite_file import FIXTURES

WHOLE = (FIXTURES / "entities_unigram.tflite").read_bytes()
MODEL, MEMBERS = tflite_file.split(WHOLE)
LIMITS = {"config.json": 1 << 20, "tokenizer.json": 64 << 20}


def test_an_independent_zip_reader_agrees():
    read, digest = read_members(FIXTURES / "entities_unigram.tflite", LIMITS)
    assert read == {name: MEMBERS[name] for name in LIMITS}
    with zipfile.ZipFile(FIXTURES / "entities_unigram.tflite") as opened:
        assert opened.comment == b"keras-bert sha256:" + digest.encode()


def test_every_flipped_byte_is_refused(write_file):
    path = write_file(WHOLE)
    bits = random.Random(0)
    with open(path, "r+b", buffering=0) as stream:
        for at, byte in enumerate(WHOLE):
            stream.seek(at)
            stream.write(bytes([byte ^ 1 << bits.randrange(8)]))
            with pytest.raises(EdgeError):
                read_members(path, LIMITS)
            stream.seek(at)
            stream.write(bytes([byte]))
    assert read_members(path, LIMITS)


def test_every_bit_of_the_end_is_guarded(write_file):
    path = write_file(WHOLE)
    start = len(WHOLE) - 110  # end record and digest: hex digits in another case are flips too
    with open(path, "r+b", buffering=0) as stream:
        for at in range(start, len(WHOLE)):
            for bit in range(8):
                stream.seek(at)
                stream.write(bytes([WHOLE[at] ^ 1 << bit]))
                with pytest.raises(EdgeError):
                    read_members(path, LIMITS)
            stream.seek(at)
            stream.write(WHOLE[at : at + 1])


def test_every_truncation_is_refused(write_file):
    path = write_file(WHOLE)
    for length in [*range(len(WHOLE) - 1, len(WHOLE) - 300, -1), *range(len(WHOLE) - 300, 0, -13), 3, 1, 0]:
        os.truncate(path, length)
        with pytest.raises(EdgeError):
            read_members(path, LIMITS)


def test_what_is_appended_or_spliced_is_refused(write_file):
    other = (FIXTURES / "pair.tflite").read_bytes()
    for content in (WHOLE + b"\0", WHOLE + WHOLE, other[:5000] + WHOLE[5000:], WHOLE[:3000] + other[3000:]):
        with pytest.raises(EdgeError):
            read_members(write_file(content), LIMITS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a TFLite model"),
        (b"%PDF-1.7 and so on", "is not a TFLite model"),
        (MODEL, "was not exported by keras-bert, or is cut short"),
        (WHOLE[:-1], "was not exported by keras-bert, or is cut short"),
        (WHOLE[:2000] + b"\xff" + WHOLE[2001:], "is damaged"),
    ],
)
def test_damage_is_named(write_file, content, message):
    with pytest.raises(EdgeError, match=message):
        keras_bert_edge.load(write_file(content))


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text here")
def test_a_name_that_is_no_utf_8_is_a_name(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/m\xff.tflite")
    shutil.copy(FIXTURES / "lengths.tflite", path)
    expected = keras_bert_edge.load(FIXTURES / "lengths.tflite")("a good film")
    assert keras_bert_edge.load(path)("a good film").scores == expected.scores


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(EdgeError, match="does not exist"):
        keras_bert_edge.load(tmp_path / "nothing.tflite")
    with pytest.raises(EdgeError, match="is not a file"):
        keras_bert_edge.load(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(EdgeError, match="is not a file"):
            keras_bert_edge.load(tmp_path / "pipe")


# === Hostile archives, each under a digest that is right ===


def member(name, content, **header):
    """(local header and data, function of its offset -> directory entry), any header field overridden."""
    fields = {"flags": 0, "method": 0, "crc": zlib.crc32(content), "stored": len(content), "size": len(content)}
    local = {**fields, **{key[6:]: value for key, value in header.items() if key.startswith("local_")}}
    both = {key: value for key, value in header.items() if not key.startswith("local_")}
    fields.update(both)
    local.update({key: value for key, value in both.items() if "local_" + key not in header})
    order = ("flags", "method", "crc", "stored", "size")

    def pack(values):
        flags, method, crc, stored, size = (values[key] for key in order)
        return struct.pack("<3H2x2x3L", 20, flags, method, crc, stored, size)

    data = b"PK\3\4" + pack(local) + struct.pack("<2H", len(name), 0) + name + content

    def entry(offset):
        head = b"PK\1\2" + struct.pack("<H", 20) + pack(fields)
        return head + struct.pack("<5H2L", len(name), 0, 0, 0, 0, 0, offset) + name

    return data, entry


def archive(members, shift=0, directory_shift=0, count=None, trailing=b""):
    """A sealed file: model, members, a directory whose offsets are off by `shift`, end record, digest."""
    data, directory = MODEL, b""
    for content, entry in members:
        directory += entry(len(data) + shift)
        data += content
    directory += trailing
    count = len(members) if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(data) + directory_shift, 82)
    return tflite_file.seal(data + directory + end)


CONFIG = MEMBERS["config.json"]


def test_the_hostile_writer_can_write_a_good_archive(write_file):
    path = write_file(archive([member(name.encode(), content) for name, content in MEMBERS.items()]))
    assert read_members(path, LIMITS)[0] == {name: MEMBERS[name] for name in LIMITS}
    assert zipfile.ZipFile(path).testzip() is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive([member(b"config.json", CONFIG), member(b"config.json", b"{}")]), "twice"),
        (archive([member(b"config.json", CONFIG, flags=1)]), "compressed or encrypted"),
        (archive([member(b"config.json", CONFIG, flags=8)]), "compressed or encrypted"),
        (archive([member(b"config.json", CONFIG, method=8)]), "compressed or encrypted"),
        (archive([member(b"config.json", CONFIG, size=1 << 30)]), "compressed or encrypted"),
        (archive([member(b"config.json", CONFIG, size=0xFFFFFFFF, stored=0xFFFFFFFF)]), "more than the"),
        (archive([member(b"config.json", b" " * (1 << 20) + b"{}")]), "more than the"),
        (archive([member(b"config.json", CONFIG, size=900_000, stored=900_000)]), "outside the archive"),
        (archive([member(b"config.json", CONFIG, local_size=3)]), "two headers"),
        (archive([member(b"config.json", CONFIG, local_method=8)]), "two headers"),
        (archive([member(b"config.json", CONFIG, crc=1)]), "checksum"),
        (archive([member(b"config.json", CONFIG)], shift=-40), "outside the archive"),
        (archive([member(b"config.json", CONFIG)], shift=1 << 31), "outside the archive"),
        (archive([member(b"config.json", CONFIG)], directory_shift=-1), "end record"),
        (archive([member(b"config.json", CONFIG)], directory_shift=1 << 31), "end record"),
        (archive([member(b"config.json", CONFIG)], count=2), "cut short"),
        (archive([member(b"config.json", CONFIG)], count=0), "belong to no member"),
        (archive([member(b"config.json", CONFIG)], trailing=b"\0"), "belong to no member"),
        (archive([member(b"%d" % i, b"") for i in range(65)]), "small, single archive"),
        (archive([member(b"x" * 60_000, b""), member(b"y" * 60_000, b"")]), "small, single archive"),
        (archive([]), "no config.json"),
        (archive([member(b"config.json", CONFIG)]), "no tokenizer.json"),
        (archive([member(b"../config.json", CONFIG), member(b"/config.json", CONFIG)]), "no config.json"),
        (archive([member(b"\xff\xfe", b"")]), "no config.json"),
    ],
)
def test_hostile_archives_are_refused(write_file, tmp_path, content, message):
    path = write_file(content)
    with pytest.raises(EdgeError, match=message):
        keras_bert_edge.load(path)
    assert os.listdir(tmp_path) == ["model.tflite"], "something was written"


def test_a_name_that_is_shown_stays_on_its_line(write_file):
    name = b"a\nerror: \x1b[31m\xe2\x80\xa8\xff\xc3\xa9"
    with pytest.raises(EdgeError) as caught:
        read_members(write_file(archive([member(name, b""), member(name, b"")])), LIMITS)
    assert str(caught.value).endswith("it holds a\\nerror: \\x1b[31m\\u2028\\xff\u00e9 twice")


def test_random_changes_to_the_archive_under_a_right_digest_raise_nothing_else(write_file):
    """What an attacker can seal anew: 3,000 mutations of headers and directory, read in full or refused."""
    draw = random.Random(1)
    head = tflite_file.zip_onto(MODEL, {"config.json": b"{}", "tokenizer.json": b"[]", "labels.txt": b""})
    path = write_file(b"")
    for _ in range(3000):
        mutated = bytearray(head)
        for _ in range(draw.randrange(1, 4)):
            mutated[draw.randrange(len(MODEL), len(head))] = draw.choice([0, 1, 0xFF, draw.randrange(256)])
        path.write_bytes(tflite_file.seal(bytes(mutated)))
        try:
            members, _ = read_members(path, LIMITS)
        except EdgeError:
            continue
        assert set(members) <= set(LIMITS)


# === config.json and tokenizer.json ===


def with_config(changes):
    config = {**json.loads(CONFIG), **changes}
    return tflite_file.write(MODEL, {**MEMBERS, "config.json": json.dumps(config).encode()})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "newer format 2.*upgrade keras-bert-edge"),
        ({"format_version": "1"}, "format_version must be a positive integer"),
        ({"format_version": True}, "format_version must be a positive integer"),
        ({"format": "other"}, "was not exported by keras-bert"),
        ({"task": "translation"}, "task must be one of"),
        ({"task": None}, "task must be one of"),
        ({"task": functools.reduce(lambda inner, _: [inner], range(900), [])}, "task must be one of"),
        ({"task": ["sequence_classification"]}, "task must be one of"),
        ({"task": "sequence_classification"}, "problem_type must be one of"),
        ({"labels": []}, "labels must be at least one label"),
        ({"labels": "O"}, "labels must be a list of different strings"),
        ({"labels": ["O", "O"]}, "labels must be a list of different strings"),
        ({"labels": ["O", 1]}, "labels must be a list of different strings"),
        ({"labels": ["O", "B-PER"]}, "has 5 values in 'logits', and 2 labels"),
        ({"problem_type": "guess"}, "problem_type must be one of"),
        ({"max_length": 3}, "max_length must be an integer from 8"),
        ({"max_length": 1e9}, "max_length must be an integer from 8"),
        ({"max_length": float("nan")}, "max_length must be an integer from 8"),
        ({"pad_token_id": -1}, "pad_token_id must be a token id"),
        ({"signatures": {}}, "signatures must be"),
        ({"signatures": []}, "signatures must be"),
        ({"signatures": {"a": None, "b": 8}}, "signatures must be"),
        ({"signatures": {"serving_default": "long"}}, "signatures must be"),
        ({"signatures": {"other": None}}, "lacks the signature 'other'; it has 'serving_default'"),
        ({"signatures": {"serving_default": 16}}, r"has the input token_ids \[1, 1\] where \[1, 16\] was stated"),
        ({"model_size": 0}, "model_size must be"),
        ({"versions": {"keras": 3}}, "versions must be"),
        ({"family": 7}, "family must be a string"),
        ({"task": "question_answering"}, "'end_logits' was expected|'start_logits' was expected"),
    ],
)
def test_each_field_of_the_config_is_checked(write_file, changes, message):
    with pytest.raises(EdgeError, match=message):
        keras_bert_edge.load(write_file(with_config(changes)))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b"null", b'"text"', b"{", b"[1]"])
def test_a_config_that_is_no_object_is_refused(write_file, content):
    with pytest.raises(EdgeError, match=r"config\.json"):
        keras_bert_edge.load(write_file(tflite_file.write(MODEL, {**MEMBERS, "config.json": content})))


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 100_000, b"\xff", b'{"model": {"type": "WordPiece"}}'])
def test_a_broken_tokenizer_is_refused(write_file, content):
    with pytest.raises(EdgeError, match=r"tokenizer\.json"):
        keras_bert_edge.load(write_file(tflite_file.write(MODEL, {**MEMBERS, "tokenizer.json": content})))


def test_a_tokenizer_without_special_tokens_is_refused(write_file):
    tokenizer = {**json.loads(MEMBERS["tokenizer.json"]), "post_processor": None}
    members = {**MEMBERS, "tokenizer.json": json.dumps(tokenizer).encode()}
    with pytest.raises(EdgeError, match="adds no special tokens"):
        keras_bert_edge.load(write_file(tflite_file.write(MODEL, members)))


def test_the_fixture_writer_writes_what_zipfile_reads():
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as opened:
        assert opened.testzip() is None
        assert opened.comment.startswith(b"keras-bert sha256:")
