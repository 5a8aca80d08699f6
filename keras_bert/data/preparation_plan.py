"""What a preparation depends on, and how its folder begins and ends: the same for every runner."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DataError
from ..files import atomic_write_json
from ..tokenizers import Tokenizer
from .corpus import CorpusFormat
from .corpus_files import file_size
from .shards import MANIFEST, VERSION, Manifest, Shard, file_sha256, read_manifest, token_dtype, verify
from .token_documents import TextRules

WORK_FOLDER = ".prepare"
SHARD_TOKENS = 4_000_000
_PLAN = "plan.json"
_SMALLEST_BLOCK, _LARGEST_BLOCK = 1 << 16, 8 << 20


@dataclasses.dataclass(frozen=True)
class PreparationSettings:
    """What a shard folder is made with, beside files and tokenizer.

    Attributes:
        share: the documents between these fractions of the random order that the seed gives; the others are left out.
            Two folders with the same seed and shares that do not overlap have no document in common.
        num_shards: None for as many as hold at most about `shard_tokens` each.
    """

    corpus: CorpusFormat = CorpusFormat()  # noqa: RUF009
    rules: TextRules = TextRules()  # noqa: RUF009
    seed: int = 0
    share: tuple[float, float] = (0.0, 1.0)
    num_shards: int | None = None
    shard_tokens: int = SHARD_TOKENS

    def __post_init__(self) -> None:
        if self.shard_tokens < 1 or (self.num_shards is not None and self.num_shards < 1) or self.seed < 0:
            raise DataError("shards and tokens a shard must be at least 1, and the seed at least 0")
        if not 0 <= self.share[0] < self.share[1] <= 1:
            raise DataError(f"share must be two fractions, the first below the second, got {self.share}")

    def to_json(self) -> dict[str, Any]:
        """The manifest's `settings`."""
        return {
            **dataclasses.asdict(self.corpus),
            **dataclasses.asdict(self.rules),
            "share": list(self.share),
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


def block_size(files: Sequence[pathlib.Path]) -> int:
    """Bytes of text a block: small enough to keep many cores busy, large enough that a corpus has not too many."""
    return min(max(sum(map(file_size, files)) // 64, _SMALLEST_BLOCK), _LARGEST_BLOCK)


def make_plan(files: Sequence[pathlib.Path], tokenizer: Tokenizer, settings: PreparationSettings) -> dict[str, Any]:
    """All that the result depends on, as JSON: two runs with equal plans may share a folder."""
    return {
        "version": VERSION,
        "seed": settings.seed,
        "tokenizer_sha256": hashlib.sha256(tokenizer.to_json().encode("utf-8")).hexdigest(),
        "settings": settings.to_json(),
        "sources": [{"file": str(path), "bytes": file_size(path)} for path in files],
    }


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


def begin(folder: pathlib.Path, plan: Mapping[str, Any]) -> Manifest | None:
    """Set a folder up for a plan; the manifest if it was finished before, every byte checked.

    An unfinished folder that stopped at bytes that are not UTF-8 goes on with a plan that replaces them: what is done
    has none.

    Raises:
        DataError: the folder holds, finished or not, another corpus or other settings; or a finished shard is broken.
    """
    if (folder / MANIFEST).exists():
        _refuse_other(folder, folder / MANIFEST, plan, _plan_of(read_manifest(folder)))
        manifest = verify(folder)
        # There still, if the process was killed between the manifest and its removal.
        shutil.rmtree(folder / WORK_FOLDER, ignore_errors=True)
        return manifest
    record = folder / WORK_FOLDER / _PLAN
    if record.exists():
        try:
            before = json.loads(record.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{record} cannot be read: {error}; remove {record.parent} to start anew") from error
        lenient = _lenient(before, plan)
        _refuse_other(folder, record, plan, lenient)
        if lenient == before:
            return None
    atomic_write_json(record, plan)
    return None


def _lenient(before: Mapping[str, Any], plan: Mapping[str, Any]) -> Mapping[str, Any]:
    """The plan of an unfinished folder, with `plan`'s way with undecodable bytes where it was to stop at them."""
    if before.get("settings", {}).get("errors") != "strict":
        return before
    return {**before, "settings": {**before["settings"], "errors": plan["settings"]["errors"]}}


def finish(
    folder: pathlib.Path,
    plan: Mapping[str, Any],
    tokenizer: Tokenizer,
    settings: PreparationSettings,
    shards: Sequence[Shard],
) -> Manifest:
    """Save the tokenizer, write the manifest, remove the work folder."""
    tokenizer.save(folder)
    manifest = Manifest(
        version=VERSION,
        seed=settings.seed,
        tokenizer_sha256=file_sha256(folder / "tokenizer.json"),
        vocab_size=tokenizer.vocab_size,
        token_dtype=token_dtype(tokenizer.vocab_size),
        documents=sum(shard.documents for shard in shards),
        sentences=sum(shard.sentences for shard in shards),
        tokens=sum(shard.tokens for shard in shards),
        shards=tuple(shards),
        sources=tuple(plan["sources"]),
        settings=settings.to_json(),
    )
    atomic_write_json(folder / MANIFEST, manifest.to_json())
    shutil.rmtree(folder / WORK_FOLDER, ignore_errors=True)
    return manifest


def check_not_empty(documents: int, files: int) -> None:
    """Raise DataError when a corpus came to nothing."""
    if not documents:
        raise DataError(f"the corpus holds no text: {files} files, and not one document with a token")
