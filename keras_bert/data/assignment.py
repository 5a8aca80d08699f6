"""Which documents go to which shard: a cut of the random order into stretches of about equally many tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ..errors import DataError

KEYS_END = 1 << 64
# Below this a shard has no other document to draw a "random next sentence" from.
MIN_DOCUMENTS = 2

KeyChunks = Iterable[tuple[np.ndarray, np.ndarray]]


def shard_count(documents: int, tokens: int, shard_tokens: int, asked: int | None = None) -> int:
    """How many shards: as `asked`, or as many as it takes to hold at most about `shard_tokens` each.

    Raises:
        DataError: more are asked for than there are pairs of documents.
    """
    most = max(1, documents // MIN_DOCUMENTS)
    if asked is None:
        return min(most, -(-tokens // shard_tokens))
    if asked > most:
        raise DataError(
            f"{asked} shards asked for, but the corpus has {documents} documents: "
            f"expected at most {most} shards, of at least {MIN_DOCUMENTS} documents each"
        )
    return asked


def shard_boundaries(chunks: Callable[[], KeyChunks], documents: int, tokens: int, num_shards: int) -> list[int]:
    """Cut the documents, in the order of their keys, into shards of about equally many tokens.

    Args:
        chunks: gives, each time it is called, all keys (uint64) and token counts of documents, in pieces; a later piece
            holds larger keys. Within a piece the order does not matter.
        documents, tokens: totals.

    Returns:
        `num_shards` + 1 keys: shard i takes the documents from the i-th key to below the next.
    """
    ends = tokens * np.arange(1, num_shards) / num_shards
    ranks = np.zeros(num_shards - 1, np.int64)
    before = 0
    for keys, counts in chunks():
        counts = counts[np.argsort(keys, kind="stable")]
        # A document belongs where the middle of its tokens lies.
        middles = before + np.cumsum(counts) - counts / 2
        ranks += np.searchsorted(middles, ends)
        before += int(counts.sum())
    least = min(MIN_DOCUMENTS, documents // num_shards)
    steps = least * np.arange(1, num_shards)
    ranks = np.maximum.accumulate(np.maximum(ranks - steps, 0)) + steps
    ranks = np.minimum(ranks, documents - least * num_shards + steps)
    boundaries = [0]
    start = 0
    for keys, _ in chunks():
        here = ranks[(ranks >= start) & (ranks < start + len(keys))]
        boundaries += np.sort(keys)[here - start].tolist()
        start += len(keys)
    return [*boundaries, KEYS_END]
