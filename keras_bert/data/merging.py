"""Parts of a large corpus cut anew, by key, so that a shard opens few of them.

A shard takes a range of keys from every part: as many openings as shards times parts, the square of the corpus. Here
the parts of each run of neighbours are merged into as many files, each with one range of the keys of all of the run. A
shard then opens, of each run, the files whose range it meets.

    parts  a0 a1 a2 | b0 b1 b2   ─►   merged  a[low] a[middle] a[high] | b[low] b[middle] b[high]
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from .assignment import KEYS_END
from .parts import PartSummary, check_part, merged_range, read_keys, write_part

# Up to so many parts, shards read them as they are.
FEW_PARTS = 256


@dataclasses.dataclass(frozen=True)
class KeyRange:
    """A file of documents whose keys lie in [low, high), and the number of the document that its numbers count from."""

    path: pathlib.Path
    first: int
    low: int = 0
    high: int = KEYS_END

    def meets(self, low: int, high: int) -> bool:
        """Whether it may hold keys in [low, high)."""
        return self.low < high and low < self.high


@dataclasses.dataclass(frozen=True)
class MergeJob:
    """Write the documents of `parts` whose keys lie in the range of `target`, unless they are there already."""

    target: KeyRange
    parts: Sequence[KeyRange]


def ranges_of(parts: Mapping[pathlib.Path, PartSummary]) -> list[KeyRange]:
    """The parts, in the order of the corpus, each with all keys."""
    firsts = itertools.accumulate((part.documents for part in parts.values()), initial=0)
    return [KeyRange(path, first) for path, first in zip(parts, firsts, strict=False)]


def merge_jobs(parts: Sequence[KeyRange], work: pathlib.Path) -> Iterator[MergeJob]:
    """What is to be merged: none for few parts. Runs are about as many as the parts of each."""
    if len(parts) <= FEW_PARTS:
        return
    size = math.isqrt(len(parts))
    bounds = [KEYS_END * i // size for i in range(size + 1)]
    for number, start in enumerate(range(0, len(parts), size)):
        run = parts[start : start + size]
        for index, (low, high) in enumerate(itertools.pairwise(bounds)):
            path = work / f"merged-{number:06d}-{index:06d}.safetensors"
            yield MergeJob(KeyRange(path, 0, low, high), run)


def merge(job: MergeJob) -> PartSummary:
    """Do a MergeJob."""
    target = job.target
    names = [part.path.name for part in job.parts]
    source = hashlib.sha256(repr((names, target.low, target.high)).encode()).hexdigest()
    there = check_part(target.path, source)
    if there is not None:
        return there
    part = merged_range([(part.path, part.first) for part in job.parts], target.low, target.high)
    return write_part(target.path, part, source, 0)


def keys_between(parts: Sequence[KeyRange], low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys (uint64) in [low, high) and token counts of the documents that have them, part after part."""
    found = [read_keys(part.path, low, high) for part in parts if part.meets(low, high)]
    return np.concatenate([keys for keys, _ in found]), np.concatenate([counts for _, counts in found])
