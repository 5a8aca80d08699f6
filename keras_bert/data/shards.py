"""The shard folder: tokenised documents in TFRecord files, and the manifest that says what they hold.

One record is one document, a `tf.train.Example` with `token_ids` (bytes: little-endian ids of the manifest's
`token_dtype`, no special tokens), `sentence_lengths` (bytes: little-endian int32, none of them zero, their sum the
number of ids) and `document` (int64: the document's number in the corpus).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import DataError
from .tfrecord import encode_example, encode_record

MANIFEST = "manifest.json"
FORMAT = "keras_bert shards"
VERSION = 1
_BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file: how much it holds, its size in bytes and the SHA-256 of its bytes."""

    file: str
    documents: int
    sentences: int
    tokens: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a shard folder holds.

    Attributes:
        version: of the folder's format.
        seed: what the order of the documents was drawn with.
        tokenizer_sha256: SHA-256 of the folder's tokenizer.json.
        vocab_size: ids are below it.
        token_dtype: "uint16" or "int32", how ids are stored, little-endian.
        documents, sentences, tokens: totals over the shards.
        shards: in order.
        sources: the files read, in order, each with its size in bytes.
        settings: how the files were read (format, text field, ...).
    """

    version: int
    seed: int
    tokenizer_sha256: str
    vocab_size: int
    token_dtype: str
    documents: int
    sentences: int
    tokens: int
    shards: tuple[Shard, ...]
    sources: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The content of `manifest.json`."""
        return {"format": FORMAT, **dataclasses.asdict(self)}


def shard_name(index: int, count: int) -> str:
    """File name of shard `index` (from 0) of `count`."""
    return f"shard-{index:05d}-of-{count:05d}.tfrecord"


def token_dtype(vocab_size: int) -> str:
    """The smallest of the two stored types that holds all ids of a vocabulary."""
    return "uint16" if vocab_size <= 1 << 16 else "int32"


def encode_document(token_ids: np.ndarray, sentence_lengths: np.ndarray, number: int) -> bytes:
    """One document as a record of a shard.

    Args:
        token_ids: [tokens], uint16 or int32, as the manifest's `token_dtype` says.
        sentence_lengths: int32 [sentences], tokens of each.
        number: the document's number in the corpus, from 0.
    """
    return encode_record(
        encode_example(
            {
                "token_ids": token_ids.astype(token_ids.dtype.newbyteorder("<"), copy=False).tobytes(),
                "sentence_lengths": sentence_lengths.astype("<i4", copy=False).tobytes(),
                "document": number,
            }
        )
    )


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Read `manifest.json` of a shard folder; the shards themselves are not opened.

    Raises:
        DataError: no manifest (preparation not finished, or another folder), a broken one, or another format version.
    """
    path = pathlib.Path(folder) / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{folder} has no {MANIFEST}: expected a folder that keras-bert prepare-data has finished writing"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(f'{path}: expected "format": "{FORMAT}", got {str(values)[:80]}')
    if values.get("version") != VERSION:
        raise DataError(f"{path}: expected format version {VERSION}, got {values.get('version')!r}")
    try:
        shards = tuple(Shard(**shard) for shard in values["shards"])
        rest = {name: value for name, value in values.items() if name not in ("format", "shards", "sources")}
        manifest = Manifest(shards=shards, sources=tuple(values["sources"]), **rest)
    except (TypeError, KeyError) as error:
        raise DataError(f"{path}: a field is missing or unknown: {error}") from error
    for name in ("documents", "sentences", "tokens"):
        if getattr(manifest, name) != sum(getattr(shard, name) for shard in shards):
            raise DataError(f"{path}: {name} of the shards do not add up to {getattr(manifest, name)}")
    return manifest


def read_shard_note(path: pathlib.Path) -> Shard | None:
    """What an interrupted preparation wrote down of a finished shard; None when it did not get there."""
    try:
        return Shard(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def check_shard(folder: str | os.PathLike[str], shard: Shard) -> None:
    """Raise DataError when a shard's file is missing, of another size, or has another hash."""
    path = pathlib.Path(folder) / shard.file
    try:
        size = path.stat().st_size
        if size != shard.bytes:
            raise DataError(f"{path} has {size} bytes, expected {shard.bytes}: it was cut short or written over")
        digest = file_sha256(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if digest != shard.sha256:
        raise DataError(f"{path} has SHA-256 {digest[:12]}..., expected {shard.sha256[:12]}...: its bytes have changed")


def verify(folder: str | os.PathLike[str], on_read: Callable[[int], None] | None = None) -> Manifest:
    """Check every byte of a shard folder against its manifest.

    Args:
        on_read: called with the size of each shard found whole, for a progress bar.

    Raises:
        DataError: a shard missing, cut short or with changed bytes, or a tokenizer that is not the one of the manifest;
            the message names the file.
    """
    manifest = read_manifest(folder)
    tokenizer = pathlib.Path(folder) / "tokenizer.json"
    try:
        digest = file_sha256(tokenizer)
    except OSError as error:
        raise DataError(f"{tokenizer} cannot be read: {error.strerror or error}") from error
    if digest != manifest.tokenizer_sha256:
        raise DataError(f"{tokenizer} is not the tokenizer that the shards were made with")
    for shard in manifest.shards:
        check_shard(folder, shard)
        if on_read is not None:
            on_read(shard.bytes)
    return manifest
