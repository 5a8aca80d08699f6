"""A corpus to a shard folder on one machine: in bounded memory, on all cores, and picked up again where it was stopped.

    files ─► blocks ─► parts (tokenised documents with random keys, in OUTPUT/.prepare) ─► shards ─► manifest

Where there are many parts, they are merged by key before (see `merging`).

This process reads blocks and hands them out; worker processes tokenise. Where blocks end, the keys and the shards
depend on the files, the tokenizer and the settings alone: the result is the same bytes for any number of workers and
interruptions.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import multiprocessing
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from ..errors import KerasBertError
from ..tokenizers import Tokenizer
from .assignment import KEYS_END, KeyChunks, shard_boundaries, shard_count
from .corpus import read_blocks
from .corpus_files import file_size, group_files
from .merging import KeyRange, keys_between, merge, merge_jobs, ranges_of
from .parts import PartSummary
from .preparation_jobs import PartJob, ShardJob, start_worker, tokenize_part, write_shard
from .preparation_plan import (
    WORK_FOLDER,
    PreparationSettings,
    Prepared,
    begin,
    block_size,
    check_not_empty,
    finish,
    make_plan,
)
from .shards import shard_name

_KEYS_AT_ONCE = 1 << 20

Job = TypeVar("Job")
Done = TypeVar("Done")
# Called with the stage's name, what has been done since the last call, and the total of the stage.
OnProgress = Callable[[str, int, int], None]


def prepare(
    files: Sequence[pathlib.Path],
    tokenizer: Tokenizer,
    output: str | os.PathLike[str],
    settings: PreparationSettings,
    *,
    workers: int | None = None,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> Prepared:
    """Write the shard folder `output` from a corpus, or go on with it where an earlier call was stopped.

    Args:
        workers: processes; by default one a core.

    Raises:
        DataError: nothing in the corpus, or something that cannot be read (names file, line, byte); or a folder that
            holds, finished or not, another corpus or the same with other settings (names the difference).
        KerasBertError: the folder cannot be written.
    """
    folder = pathlib.Path(output)
    work = folder / WORK_FOLDER
    plan = make_plan(files, tokenizer, settings)
    finished = begin(folder, plan)
    if finished is not None:
        return Prepared(finished, None, 0, 0)
    with _pool(tokenizer, settings, workers) as pool:
        parts = _tokenize(files, settings, work, pool, on_progress)
        total = _total(parts.values())
        check_not_empty(total.documents, len(files))
        ranges = _merge(ranges_of(parts), work, pool, on_progress)
        shards = list(_write_shards(ranges, total, settings, folder, work, pool, on_progress))
    manifest = finish(folder, plan, tokenizer, settings, [shard for shard, _ in shards])
    kept = sum(part.kept for part in parts.values())
    return Prepared(manifest, total.replaced, kept, sum(kept for _, kept in shards))


# === Stages ===


def _tokenize(
    files: Sequence[pathlib.Path],
    settings: PreparationSettings,
    work: pathlib.Path,
    pool: _Pool,
    on_progress: OnProgress,
) -> dict[pathlib.Path, PartSummary]:
    """Make all parts; what each holds, in the order of the corpus."""
    total = sum(map(file_size, files))
    size = block_size(files)
    read: list[int] = []
    read_for: dict[pathlib.Path, int] = {}

    def jobs() -> Iterator[PartJob]:
        for group, members in enumerate(group_files(files, size)):
            for index, pieces in enumerate(read_blocks(members, settings.corpus, size, read.append)):
                path = work / f"part-{group:06d}-{index:06d}.safetensors"
                read_for[path] = sum(read)
                read.clear()
                yield PartJob(path, group, index, pieces)

    parts = {}
    for path, summary in pool.run(tokenize_part, ((job.path, job) for job in jobs())):
        parts[path] = summary
        on_progress("tokenising", read_for.pop(path), total)
    return {path: parts[path] for path in sorted(parts)}


def _merge(parts: list[KeyRange], work: pathlib.Path, pool: _Pool, on_progress: OnProgress) -> list[KeyRange]:
    """The parts, or what they are merged into where they are many."""
    jobs = list(merge_jobs(parts, work))
    for _ in pool.run(merge, ((job.target.path, job) for job in jobs)):
        on_progress("merging", 1, len(jobs))
    return [job.target for job in jobs] or parts


def _write_shards(
    parts: Sequence[KeyRange],
    total: PartSummary,
    settings: PreparationSettings,
    folder: pathlib.Path,
    work: pathlib.Path,
    pool: _Pool,
    on_progress: OnProgress,
) -> list[tuple[Any, bool]]:
    count = shard_count(total.documents, total.tokens, settings.shard_tokens, settings.num_shards)
    pieces = -(-total.documents // _KEYS_AT_ONCE)
    bounds = [KEYS_END * i // pieces for i in range(pieces + 1)]

    def chunks() -> KeyChunks:
        for low, high in itertools.pairwise(bounds):
            yield keys_between(parts, low, high)

    boundaries = shard_boundaries(chunks, total.documents, total.tokens, count)

    def jobs() -> Iterator[tuple[int, ShardJob]]:
        for i, (low, high) in enumerate(itertools.pairwise(boundaries)):
            note = work / f"shard-{i:05d}.json"
            met = [(part.path, part.first) for part in parts if part.meets(low, high)]
            yield i, ShardJob(folder / shard_name(i, count), note, low, high, met, total.tokens // count)

    done = {}
    for index, result in pool.run(write_shard, jobs()):
        done[index] = result
        on_progress("writing shards", 1, count)
    return [done[index] for index in range(count)]


def _total(parts: Iterable[PartSummary]) -> PartSummary:
    every = list(parts)
    names = ("documents", "sentences", "tokens", "replaced")
    return PartSummary(*(sum(getattr(part, name) for part in every) for name in names))


# === Processes ===


class _Pool:
    """Worker processes that are given a bounded number of jobs ahead, so that blocks do not pile up in memory."""

    def __init__(self, executor: concurrent.futures.Executor, ahead: int) -> None:
        self.executor, self.ahead = executor, ahead

    def run(self, function: Callable[[Job], Done], jobs: Iterable[tuple[Any, Job]]) -> Iterator[tuple[Any, Done]]:
        """Yield the name and the result of each of the named jobs, in the order in which they end."""
        waiting: dict[concurrent.futures.Future[Done], Any] = {}
        for name, job in jobs:
            waiting[self.executor.submit(function, job)] = name
            del job
            while len(waiting) >= self.ahead:
                yield from self._ended(waiting)
        while waiting:
            yield from self._ended(waiting)

    @staticmethod
    def _ended(waiting: dict[concurrent.futures.Future[Done], Any]) -> Iterator[tuple[Any, Done]]:
        ended, _ = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
        for future in ended:
            yield waiting.pop(future), future.result()


@contextlib.contextmanager
def _pool(tokenizer: Tokenizer, settings: PreparationSettings, workers: int | None) -> Iterator[_Pool]:
    count = workers or os.cpu_count() or 1
    executor = concurrent.futures.ProcessPoolExecutor(
        count,
        multiprocessing.get_context("spawn"),
        start_worker,
        (tokenizer.to_json(), settings.corpus, settings.rules, settings.seed, settings.share),
    )
    try:
        yield _Pool(executor, count + 1)
    except BrokenProcessPool as error:
        raise KerasBertError("a worker process was killed, perhaps for want of memory; start again to go on") from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
