"""A corpus to a shard folder on one machine: in bounded memory, on all cores, and picked up again where it was stopped.

    files ─► blocks ─► parts (tokenised documents with random keys, in OUTPUT/.prepare) ─► shards ─► manifest

This process reads blocks and hands them out; worker processes tokenise. Where blocks end, the keys and the shards
depend on the files, the tokenizer and the settings alone: the result is the same bytes for any number of workers and
interruptions.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import itertools
import json
import multiprocessing
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import numpy as np

from ..errors import DataError, KerasBertError
from ..files import atomic_write_json
from ..tokenizers import Tokenizer
from .assignment import KEYS_END, KeyChunks, shard_boundaries, shard_count
from .corpus import CorpusFormat, file_size, group_files, read_blocks
from .parts import PartSummary, read_keys
from .preparation_jobs import PartJob, ShardJob, start_worker, tokenize_part, write_shard
from .shards import MANIFEST, VERSION, Manifest, file_sha256, read_manifest, shard_name, token_dtype, verify
from .token_documents import TextRules

WORK_FOLDER = ".prepare"
SHARD_TOKENS = 4_000_000
_SMALLEST_BLOCK, _LARGEST_BLOCK = 1 << 20, 8 << 20
_KEYS_AT_ONCE = 1 << 20

Job = TypeVar("Job")
Done = TypeVar("Done")
# Called with the stage's name, what has been done since the last call, and the total of the stage.
OnProgress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class PreparationSettings:
    """What a shard folder is made with, beside files and tokenizer.

    Attributes:
        num_shards: None for as many as hold at most about `shard_tokens` each.
    """

    corpus: CorpusFormat = CorpusFormat()  # noqa: RUF009
    rules: TextRules = TextRules()  # noqa: RUF009
    seed: int = 0
    num_shards: int | None = None
    shard_tokens: int = SHARD_TOKENS

    def __post_init__(self) -> None:
        if self.shard_tokens < 1 or (self.num_shards is not None and self.num_shards < 1) or self.seed < 0:
            raise DataError("shards and tokens a shard must be at least 1, and the seed at least 0")

    def to_json(self) -> dict[str, Any]:
        """The manifest's `settings`."""
        return {
            **dataclasses.asdict(self.corpus),
            **dataclasses.asdict(self.rules),
            "num_shards": self.num_shards,
            "shard_tokens": self.shard_tokens,
        }


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What a preparation came to.

    Attributes:
        replaced: characters put for bytes that were not UTF-8; None when the folder was finished before.
        kept_parts, kept_shards: how many were there, whole, from an interrupted run.
    """

    manifest: Manifest
    replaced: int | None
    kept_parts: int
    kept_shards: int


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
    if (folder / MANIFEST).exists():
        finished = read_manifest(folder)
        _refuse_other(folder, folder / MANIFEST, plan, _plan_of(finished))
        return Prepared(verify(folder), None, 0, 0)
    if (work / "plan.json").exists():
        _refuse_other(folder, work / "plan.json", plan, json.loads((work / "plan.json").read_text(encoding="utf-8")))
    else:
        atomic_write_json(work / "plan.json", plan)
    with _pool(tokenizer, settings, workers) as pool:
        parts = _tokenize(files, settings, work, pool, on_progress)
        total = _total(parts.values())
        if not total.documents:
            raise DataError(f"the corpus holds no text: {len(files)} files, and not one document with a token")
        shards = list(_write_shards(parts, total, settings, folder, work, pool, on_progress))
    tokenizer.save(folder)
    manifest = Manifest(
        version=VERSION,
        seed=settings.seed,
        tokenizer_sha256=file_sha256(folder / "tokenizer.json"),
        vocab_size=tokenizer.vocab_size,
        token_dtype=token_dtype(tokenizer.vocab_size),
        documents=total.documents,
        sentences=total.sentences,
        tokens=total.tokens,
        shards=tuple(shard for shard, _ in shards),
        sources=tuple(plan["sources"]),
        settings=settings.to_json(),
    )
    atomic_write_json(folder / MANIFEST, manifest.to_json())
    shutil.rmtree(work, ignore_errors=True)
    kept = sum(part.kept for part in parts.values())
    return Prepared(manifest, total.replaced, kept, sum(kept for _, kept in shards))


# === What is to be done ===


def make_plan(files: Sequence[pathlib.Path], tokenizer: Tokenizer, settings: PreparationSettings) -> dict[str, Any]:
    """All that the result depends on, as JSON: two runs with equal plans may share a folder."""
    return {
        "version": VERSION,
        "seed": settings.seed,
        "tokenizer_sha256": hashlib.sha256(tokenizer.to_json().encode("utf-8")).hexdigest(),
        "settings": settings.to_json(),
        "sources": [{"file": str(path), "bytes": file_size(path)} for path in files],
    }


def block_size(files: Sequence[pathlib.Path]) -> int:
    """Bytes of text a block: small enough to keep many cores busy, large enough that a corpus has not too many."""
    return min(max(sum(map(file_size, files)) // 64, _SMALLEST_BLOCK), _LARGEST_BLOCK)


def _plan_of(manifest: Manifest) -> dict[str, Any]:
    content = manifest.to_json()
    return {name: content[name] for name in ("version", "seed", "tokenizer_sha256", "settings")} | {
        "sources": list(manifest.sources)
    }


def _refuse_other(
    folder: pathlib.Path, record: pathlib.Path, plan: Mapping[str, Any], found: Mapping[str, Any]
) -> None:
    """Raise DataError when the folder was begun with another plan, or a file has changed since."""
    difference = _difference(plan, found)
    written = record.stat().st_mtime
    for source in plan["sources"] if difference is None else ():
        if pathlib.Path(source["file"]).stat().st_mtime > written:
            difference = f"{source['file']} has changed since"
            break
    if difference is not None:
        raise DataError(
            f"{folder} holds shards of another corpus or other settings: {difference}; choose another folder"
        )


def _difference(plan: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """The first difference in words."""
    for name in ("version", "seed", "tokenizer_sha256"):
        if plan[name] != found.get(name):
            return f"{name} was {found.get(name)}, now {plan[name]}"
    for name, value in plan["settings"].items():
        if value != found["settings"].get(name):
            return f"{name} was {found['settings'].get(name)!r}, now {value!r}"
    before = {source["file"]: source["bytes"] for source in found["sources"]}
    now = {source["file"]: source["bytes"] for source in plan["sources"]}
    for file in before.keys() | now.keys():
        if file not in now:
            return f"{file} was part of it, and is not now"
        if file not in before:
            return f"{file} was not part of it, and is now"
        if before[file] != now[file]:
            return f"{file} had {before[file]} bytes, now {now[file]}"
    return None if list(before) == list(now) else "the files come in another order"


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


def _write_shards(
    parts: Mapping[pathlib.Path, PartSummary],
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
            found = [_keys_between(path, low, high) for path in parts]
            yield np.concatenate([keys for keys, _ in found]), np.concatenate([counts for _, counts in found])

    boundaries = shard_boundaries(chunks, total.documents, total.tokens, count)
    firsts = np.cumsum([0, *(part.documents for part in parts.values())])[:-1].tolist()
    numbered = list(zip(parts, firsts, strict=True))

    def jobs() -> Iterator[tuple[int, ShardJob]]:
        for i, (low, high) in enumerate(itertools.pairwise(boundaries)):
            note = work / f"shard-{i:05d}.json"
            yield i, ShardJob(folder / shard_name(i, count), note, low, high, numbered, total.tokens // count)

    done = {}
    for index, result in pool.run(write_shard, jobs()):
        done[index] = result
        on_progress("writing shards", 1, count)
    return [done[index] for index in range(count)]


def _keys_between(path: pathlib.Path, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    keys, counts = read_keys(path)
    chosen = slice(
        *(int(np.searchsorted(keys, np.uint64(key))) if key < KEYS_END else len(keys) for key in (low, high))
    )
    return keys[chosen], counts[chosen]


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
        (tokenizer.to_json(), settings.corpus, settings.rules, settings.seed),
    )
    try:
        yield _Pool(executor, count + 1)
    except BrokenProcessPool as error:
        raise KerasBertError("a worker process was killed, perhaps for want of memory; start again to go on") from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
