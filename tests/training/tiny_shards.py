"""Shard folders small enough for tests, written with the library's own writer, and a teacher that reads them."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
from harness import TINY, randomize
from tiny import tiny_tokenizer

import keras_bert as kb
from keras_bert.data.shards import (
    MANIFEST,
    VERSION,
    Manifest,
    Shard,
    encode_document,
    file_sha256,
    shard_name,
    token_dtype,
)
from keras_bert.files import atomic_write_json


def write_shards(folder: pathlib.Path, shards: int = 4, documents: int = 6, seed: int = 0) -> pathlib.Path:
    """`shards` files of `documents` documents each: sentences of words that follow each other in a fixed order, so that
    a model can learn to tell a masked one from its neighbours."""
    tokenizer = tiny_tokenizer(folder)
    tokenizer.save(folder)
    generator = np.random.default_rng(seed)
    rows = []
    for index in range(shards):
        records, sentences, tokens = [], 0, 0
        for document in range(documents):
            lengths = generator.integers(3, 8, size=generator.integers(4, 9))
            ids = 5 + (generator.integers(0, 60) + np.arange(lengths.sum())) % (tokenizer.vocab_size - 5)
            records.append(encode_document(ids.astype("uint16"), lengths.astype("int32"), index * documents + document))
            sentences, tokens = sentences + len(lengths), tokens + len(ids)
        path = folder / shard_name(index, shards)
        path.write_bytes(b"".join(records))
        rows.append(Shard(path.name, documents, sentences, tokens, path.stat().st_size, file_sha256(path)))
    manifest = Manifest(
        version=VERSION,
        seed=seed,
        tokenizer_sha256=file_sha256(folder / "tokenizer.json"),
        vocab_size=tokenizer.vocab_size,
        token_dtype=token_dtype(tokenizer.vocab_size),
        documents=shards * documents,
        sentences=sum(row.sentences for row in rows),
        tokens=sum(row.tokens for row in rows),
        shards=tuple(rows),
        sources=(),
        settings={},
    )
    atomic_write_json(folder / MANIFEST, manifest.to_json())
    return folder


def save_teacher(folder: pathlib.Path, **changes) -> pathlib.Path:
    """A BERT of four tiny layers and no pattern in its weights, with the tokenizer of the shards."""
    keras.utils.set_random_seed(3)
    tokenizer = tiny_tokenizer(folder)
    config = TINY["bert"].replace(num_layers=4, pooler=False, vocab_size=tokenizer.vocab_size, max_positions=32)
    model = kb.MaskedLanguageModel(kb.Encoder(config.replace(**changes)), tokenizer=tokenizer)
    randomize(model)
    model.save_pretrained(folder)
    return folder
