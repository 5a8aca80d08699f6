"""Damaged shards and folders and settings that do not fit together: refused by name."""

from __future__ import annotations

import json
import pathlib
import shutil

import numpy as np
import pytest
from corpora import Corpus, read
from shard_files import write_shards

import keras_bert as kb
from keras_bert.data.pretraining import PretrainingData, PretrainingSettings, named_errors
from keras_bert.errors import ConfigError, DataError
from keras_bert.tokenizers.training import train_tokenizer

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def folder(corpus: Corpus, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy to spoil."""
    return pathlib.Path(shutil.copytree(corpus.folder, tmp_path / "copy"))


def shard(folder: pathlib.Path, index: int = 2) -> pathlib.Path:
    return folder / f"shard-{index:05d}-of-00004.tfrecord"


def data(folder: pathlib.Path, **settings) -> PretrainingData:
    return PretrainingData(folder, PretrainingSettings(**{"sequence_length": 32, **settings}))


def test_a_shard_cut_short(folder: pathlib.Path) -> None:
    content = shard(folder).read_bytes()
    shard(folder).write_bytes(content[:-100])
    with pytest.raises(DataError, match=r"shard-00002-of-00004.*has \d+ bytes, expected \d+"):
        data(folder)
    shard(folder).unlink()
    with pytest.raises(DataError, match=r"shard-00002-of-00004.*cannot be read"):
        data(folder)


def test_a_flipped_bit_and_a_file_that_shrinks_while_it_is_read(folder: pathlib.Path) -> None:
    data_before = data(folder)
    batches = data_before.dataset(32, lanes=4)
    content = shard(folder).read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 4
    for spoilt in (bytes(flipped), content[: len(content) // 3], b""):
        shard(folder).write_bytes(spoilt)
        with pytest.raises(
            DataError, match=r"^shard .*shard-00002-of-00004.tfrecord expected 50 documents, found \d+ whole: it"
        ):
            with named_errors():
                next(batches.as_numpy_iterator())
        with pytest.raises(DataError, match=r"^shard .*shard-00002-of-00004.tfrecord expected 50 documents, found \d+"):
            data_before.first_documents(10**9)


def test_a_shard_of_another_manifest(folder: pathlib.Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][1]["tokens"] += 1
    manifest["tokens"] += 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"shard-00001-of-00004.tfrecord expected \d+ tokens in whole sentences"):
        with named_errors():
            read(data(folder), 1)


def test_errors_that_are_not_of_shards_pass() -> None:
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError):
        with named_errors():
            tf.reshape(tf.zeros([3]), [2])


def test_a_tokenizer_of_another_corpus(folder: pathlib.Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(DataError, match="not the tokenizer that the shards were made with"):
        data(folder)
    path.unlink()
    with pytest.raises(DataError, match=r"tokenizer.json cannot be read"):
        data(folder)


def test_a_vocabulary_of_another_size(folder: pathlib.Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["vocab_size"] += 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="made with a vocabulary of"):
        data(folder)


def test_next_sentences_need_two_documents(corpus: Corpus, tmp_path: pathlib.Path) -> None:
    tokenizer = kb.Tokenizer.from_pretrained(corpus.folder)
    one = write_shards(tmp_path / "one", tokenizer, [[[[5, 6, 7], [8, 9]]]])
    with pytest.raises(DataError, match="at least 2 documents, got 1"):
        data(one)
    spread = write_shards(tmp_path / "spread", tokenizer, [[[[5, 6, 7]]], [[[8, 9]], [[10, 11]]]])
    with pytest.raises(DataError, match=r"shard-00000-of-00002.*at least 2 documents in each shard, got 1"):
        data(spread)
    rows = read(data(spread, objective="sop"), 2, batch_size=2, lanes=2)
    assert np.isin(rows["sentence_targets"], (0, 1)).all()


def test_sentence_order_needs_two_tokens(corpus: Corpus, tmp_path: pathlib.Path) -> None:
    """Reading would look for an example for ever."""
    tokenizer = kb.Tokenizer.from_pretrained(corpus.folder)
    folder = write_shards(tmp_path / "single", tokenizer, [[[[5, 6]], [[7]]], [[[8]], [[9]], [[10]]]])
    with pytest.raises(DataError, match=r"shard-00001-of-00002.*needs a document of at least 2 tokens in each shard"):
        data(folder, objective="sop")
    least = write_shards(tmp_path / "least", tokenizer, [[[[5], [6]], [[7]]]])
    rows = read(data(least, objective="sop"), 1, batch_size=2, lanes=1)
    assert rows["padding_mask"].sum(1).tolist() == [5, 5]


def test_pairs_need_segments(tmp_path: pathlib.Path) -> None:
    tokenizer = train_tokenizer("bpe", lambda: ["a bad film was great", "a great film was bad"], 300)
    folder = write_shards(tmp_path / "bpe", tokenizer, [[[tokenizer.tokenize_batch(["a great film"])[0]]] * 2])
    with pytest.raises(DataError, match=r"'nsp' needs a family with segments .*made for roberta: use objective 'mlm'"):
        data(folder)
    assert "segment_ids" not in read(data(folder, objective="mlm"), 1, batch_size=2, lanes=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "clm"}, "expected one of nsp, sop, mlm, got 'clm'"),
        ({"masking": "words"}, "expected one of token, whole_word, ngram, span, got 'words'"),
        ({"sequence_length": 4}, "sequence_length: expected a number from 8"),
        ({"sequence_length": 32.0}, "sequence_length: expected a whole number"),
        ({"mask_rate": 1.5}, "mask_rate: expected a number from 0 to 0.9, got 1.5"),
        ({"max_predictions": 0}, "max_predictions: expected a number from 1"),
        ({"short_sequence_rate": -0.1}, "short_sequence_rate"),
        ({"static_masks": -1}, "static_masks"),
        ({"max_packed": 65}, "max_packed: expected a number from 1 to 64, got 65"),
    ],
)
def test_settings_out_of_range(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PretrainingSettings(**settings)


def test_defaults_of_the_papers() -> None:
    assert PretrainingSettings().max_predictions == 20
    assert PretrainingSettings(sequence_length=512).max_predictions == 77
    assert PretrainingSettings().short_sequence_rate == 0.1
    assert PretrainingSettings(objective="mlm").short_sequence_rate == 0.0
