"""Parts: the tokenised documents of one block on their way into shards, each document with a random key.

The documents of a part lie in the order of their keys. A shard takes a range of keys from every part, so it is a random
sample of the corpus that is read from each part in one stretch, and nothing but the part in hand is ever in memory.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence

import numpy as np
import safetensors
import safetensors.numpy

from ..errors import DataError
from ..files import atomic_write_bytes
from .assignment import KEYS_END
from .token_documents import TokenDocuments

_DTYPES = {"U16": np.uint16, "I32": np.int32}
_DOCUMENT_ARRAYS = ("token_ids", "sentence_lengths", "token_counts", "sentence_counts")
_ARRAYS = ("keys", "numbers", "token_counts", "sentence_counts", "token_ids", "sentence_lengths")


@dataclasses.dataclass(frozen=True)
class PartSummary:
    """How much a part holds.

    Attributes:
        replaced: characters put for bytes that were not UTF-8.
        kept: it was there already, whole, from an earlier run.
    """

    documents: int
    sentences: int
    tokens: int
    replaced: int
    kept: bool = False


@dataclasses.dataclass(frozen=True)
class KeyedDocuments:
    """Documents in the order of their keys.

    Attributes:
        keys: uint64 [documents], ascending.
        numbers: int64 [documents], the number of each, counted from the first document of the part.
        documents: the documents themselves.
    """

    keys: np.ndarray
    numbers: np.ndarray
    documents: TokenDocuments


def document_keys(seed: int, group: int, block: int, count: int) -> np.ndarray:
    """The random keys of the documents of a block, uint64 [count]: a pure function of the arguments.

    Raw output of a bit generator, which NumPy keeps the same from version to version.
    """
    return np.random.Philox(np.random.SeedSequence((seed, group, block))).random_raw(count).astype(np.uint64)


def select_share(
    documents: TokenDocuments, keys: np.ndarray, share: tuple[float, float]
) -> tuple[TokenDocuments, np.ndarray]:
    """The documents, and their keys, whose key lies between the two fractions of all keys; the order is kept."""
    low, high = (round(fraction * KEYS_END) for fraction in share)
    if low == 0 and high == KEYS_END:
        return documents, keys
    chosen = np.array([low <= key < high for key in keys.tolist()], bool).nonzero()[0]
    return _pick(documents, chosen), keys[chosen]


def sort_by_key(documents: TokenDocuments, keys: np.ndarray) -> KeyedDocuments:
    """The documents of a block in the order of their keys."""
    order = np.argsort(keys, kind="stable")
    return KeyedDocuments(keys[order], order.astype(np.int64), _pick(documents, order))


def _pick(documents: TokenDocuments, order: np.ndarray) -> TokenDocuments:
    slices = list(documents.slices())
    ids = [slices[i][0] for i in order]
    lengths = [slices[i][1] for i in order]
    return TokenDocuments(
        np.concatenate(ids) if ids else documents.token_ids[:0],
        np.concatenate(lengths) if lengths else documents.sentence_lengths[:0],
        documents.token_counts[order],
        documents.sentence_counts[order],
    )


def write_part(path: pathlib.Path, part: KeyedDocuments, source_sha256: str, replaced: int) -> PartSummary:
    """Write a part, whole or not at all, with its own hash and that of the text it was made from."""
    arrays = {"keys": part.keys, "numbers": part.numbers, **vars(part.documents)}
    arrays = {name: np.ascontiguousarray(arrays[name]) for name in _ARRAYS}
    documents = part.documents
    summary = PartSummary(len(documents), len(documents.sentence_lengths), len(documents.token_ids), replaced)
    metadata = {"source": source_sha256, "content": _content_hash(arrays), "replaced": str(replaced)}
    atomic_write_bytes(path, safetensors.numpy.save(arrays, metadata))
    return summary


def check_part(path: pathlib.Path, source_sha256: str) -> PartSummary | None:
    """The summary of a part if it is there, whole, and made from the text with this hash; else None."""
    try:
        with safetensors.safe_open(str(path), "numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in _ARRAYS}
        replaced = int(metadata["replaced"])
    except (OSError, safetensors.SafetensorError, KeyError, ValueError):
        return None
    if metadata.get("source") != source_sha256 or metadata.get("content") != _content_hash(arrays):
        return None
    sentences, tokens = len(arrays["sentence_lengths"]), len(arrays["token_ids"])
    return PartSummary(len(arrays["keys"]), sentences, tokens, replaced, kept=True)


def read_keys(path: pathlib.Path, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """The keys of a part that are at least `low` and below `high`, ascending, and the token counts of their documents;
    [documents] both."""
    with _open(path) as file:
        keys = file.get_tensor("keys")
        first, last = _places(keys, low, high)
        return keys[first:last], file.get_tensor("token_counts")[first:last]


def read_range(path: pathlib.Path, low: int, high: int) -> KeyedDocuments:
    """The documents of a part whose key is at least `low` and below `high`."""
    with _open(path) as file:
        keys = file.get_tensor("keys")
        first, last = _places(keys, low, high)
        token_counts, sentence_counts = file.get_tensor("token_counts"), file.get_tensor("sentence_counts")
        token_start, sentence_start = int(token_counts[:first].sum()), int(sentence_counts[:first].sum())
        token_end = token_start + int(token_counts[first:last].sum())
        sentence_end = sentence_start + int(sentence_counts[first:last].sum())
        documents = TokenDocuments(
            _stretch(file, "token_ids", token_start, token_end),
            _stretch(file, "sentence_lengths", sentence_start, sentence_end),
            token_counts[first:last],
            sentence_counts[first:last],
        )
        return KeyedDocuments(keys[first:last], file.get_tensor("numbers")[first:last], documents)


def merged_range(parts: Sequence[tuple[pathlib.Path, int]], low: int, high: int) -> KeyedDocuments:
    """The documents of parts whose key is at least `low` and below `high`, in the order of their keys.

    Args:
        parts: each with what its numbers count from.
    """
    found = [read_range(path, low, high) for path, _ in parts]
    numbers = [first + part.numbers for (_, first), part in zip(parts, found, strict=True)]
    keys = np.concatenate([part.keys for part in found])
    joined = (np.concatenate([getattr(part.documents, name) for part in found]) for name in _DOCUMENT_ARRAYS)
    order = np.argsort(keys, kind="stable")
    return KeyedDocuments(keys[order], np.concatenate(numbers)[order], _pick(TokenDocuments(*joined), order))


def _places(keys: np.ndarray, low: int, high: int) -> tuple[int, int]:
    """Where the ascending keys that are at least `low` and below `high` begin and end."""
    first, last = (int(np.searchsorted(keys, np.uint64(key))) if key < KEYS_END else len(keys) for key in (low, high))
    return first, last


def _stretch(file: safetensors.safe_open, name: str, start: int, end: int) -> np.ndarray:
    """Elements of an array, the rest of it not read; safetensors refuses an empty slice at the very end."""
    array = file.get_slice(name)
    return array[start:end] if start < end else np.zeros(0, _DTYPES[array.get_dtype()])


def _open(path: pathlib.Path) -> safetensors.safe_open:
    try:
        return safetensors.safe_open(str(path), "numpy")
    except (OSError, safetensors.SafetensorError) as error:
        raise DataError(f"{path} cannot be read: {error}; start again to have it made anew") from error


def _content_hash(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in _ARRAYS:
        digest.update(np.ascontiguousarray(arrays[name]).view(np.uint8).data)
    return digest.hexdigest()
