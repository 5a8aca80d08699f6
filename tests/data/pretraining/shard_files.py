"""Shard folders written from the description of the format alone, with TensorFlow's writer: an oracle of the format."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

import keras_bert as kb

Document = list[list[int]]


def write_shards(folder: pathlib.Path, tokenizer: kb.Tokenizer, shards: Sequence[Sequence[Document]]) -> pathlib.Path:
    """A shard folder of documents, each a list of sentences, each a list of token ids."""
    tokenizer.save(folder)
    dtype = "uint16" if tokenizer.vocab_size <= 65536 else "int32"
    entries, number = [], 0
    for index, documents in enumerate(shards):
        path = folder / f"shard-{index:05d}-of-{len(shards):05d}.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for document in documents:
                ids = np.array(
                    [token for sentence in document for token in sentence], "<u2" if dtype == "uint16" else "<i4"
                )
                lengths = np.array([len(sentence) for sentence in document], "<i4")
                features = {
                    "token_ids": tf.train.Feature(bytes_list=tf.train.BytesList(value=[ids.tobytes()])),
                    "sentence_lengths": tf.train.Feature(bytes_list=tf.train.BytesList(value=[lengths.tobytes()])),
                    "document": tf.train.Feature(int64_list=tf.train.Int64List(value=[number])),
                }
                writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
                number += 1
        data = path.read_bytes()
        entries.append(
            {
                "file": path.name,
                "documents": len(documents),
                "sentences": sum(map(len, documents)),
                "tokens": sum(len(sentence) for document in documents for sentence in document),
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        )
    manifest = {
        "format": "keras_bert shards",
        "version": 1,
        "seed": 0,
        "tokenizer_sha256": hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest(),
        "vocab_size": tokenizer.vocab_size,
        "token_dtype": dtype,
        **{name: sum(entry[name] for entry in entries) for name in ("documents", "sentences", "tokens")},
        "shards": entries,
        "sources": [],
        "settings": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
