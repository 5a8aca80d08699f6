"""From text files through `keras-bert prepare-data` to batches: no token of the text is lost or made up."""

from __future__ import annotations

import collections
import pathlib

import pytest
from corpora import one_epoch, read, unmasked
from keras_bert_tools.cli import main
from tiny import WORDS, tiny_tokenizer

from keras_bert.data.pretraining import PretrainingData, PretrainingSettings


@pytest.mark.tensorflow_only
def test_prepared_text_comes_out_whole(tmp_path: pathlib.Path) -> None:
    tokenizer = tiny_tokenizer(tmp_path / "tokenizer")
    words = [word for word in WORDS.split() if word.isalpha()]
    expected: collections.Counter[int] = collections.Counter()
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number in range(30):
        sentences = [" ".join(words[(number * 7 + s * k) % len(words)] for k in range(4 + s)) for s in range(9)]
        text = " ".join(sentence.capitalize() + "." for sentence in sentences)
        (corpus / f"{number}.txt").write_text(text)
        expected.update(tokenizer.tokenize_batch([text])[0])
    shards = tmp_path / "shards"
    arguments = [str(corpus), "--tokenizer", str(tmp_path / "tokenizer"), "-o", str(shards), "--shards", "3"]
    assert main(["prepare-data", *arguments]) == 0
    data = PretrainingData(shards, PretrainingSettings(sequence_length=24, objective="mlm"))
    epoch = one_epoch(read(data, 60, batch_size=12, lanes=3))
    special = data.tokenizer.special_ids
    found = collections.Counter(token for token in unmasked(epoch).ravel().tolist() if token not in special)
    assert found == expected
