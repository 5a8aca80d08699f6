"""What the worker processes of `preparation` do: text blocks to parts, parts to shards."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..files import atomic_path, atomic_write_json
from ..tokenizers import Tokenizer
from ..tokenizers.word_cache import WordCache
from .corpus import CorpusFormat, Piece
from .parts import PartSummary, check_part, document_keys, merged_range, select_share, sort_by_key, write_part
from .shards import Shard, check_shard, encode_document, file_sha256, read_shard_note
from .token_documents import TextRules, document_words, tokenize_block

# A shard is gathered in stretches of about this many tokens, however large it is.
_STRETCH_TOKENS = 4_000_000

# Number in the corpus, token ids, sentence lengths.
NumberedDocument = tuple[int, np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class PartJob:
    """Tokenise a block and write it to `path`, unless it is there already."""

    path: pathlib.Path
    group: int
    block: int
    pieces: Sequence[Piece]


@dataclasses.dataclass(frozen=True)
class ShardJob:
    """Write the shard of the documents whose keys lie in [low, high).

    Attributes:
        note: where to write down what the finished shard holds.
        parts: those that may hold such keys, each with the number of its first document.
        tokens: about how many the shard will hold.
    """

    path: pathlib.Path
    note: pathlib.Path
    low: int
    high: int
    parts: Sequence[tuple[pathlib.Path, int]]
    tokens: int


@dataclasses.dataclass(frozen=True)
class _Worker:
    words: WordCache
    corpus: CorpusFormat
    rules: TextRules
    seed: int
    share: tuple[float, float]


_worker: _Worker | None = None


def start_worker(
    tokenizer_json: str, corpus: CorpusFormat, rules: TextRules, seed: int, share: tuple[float, float]
) -> None:
    """Set a worker process up; it ends when its parent does, and leaves Ctrl-C to the parent."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one process a core is faster than threads over batches
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    _worker = _Worker(document_words(Tokenizer.from_json(tokenizer_json)), corpus, rules, seed, share)


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def tokenize_part(job: PartJob) -> PartSummary:
    """Do a PartJob in a worker process."""
    assert _worker is not None
    digest = hashlib.sha256()
    for piece in job.pieces:
        digest.update(piece.data)
    source = digest.hexdigest()
    there = check_part(job.path, source)
    if there is not None:
        return there
    replaced: list[int] = []
    documents = tokenize_block(job.pieces, _worker.words, _worker.corpus, _worker.rules, replaced.append)
    keys = document_keys(_worker.seed, job.group, job.block, len(documents))
    documents, keys = select_share(documents, keys, _worker.share)
    return write_part(job.path, sort_by_key(documents, keys), source, sum(replaced))


def write_shard(job: ShardJob) -> tuple[Shard, bool]:
    """Do a ShardJob; also says whether the shard was there already, whole."""
    there = read_shard_note(job.note)
    if there is not None and there.file == job.path.name:
        try:
            check_shard(job.path.parent, there)
            return there, True
        except ValueError:
            pass
    return write_shard_file(job.path, job.note, _gather(job)), False


def write_shard_file(path: pathlib.Path, note: pathlib.Path, numbered: Iterable[NumberedDocument]) -> Shard:
    """Write a shard, whole or not at all, then a note of what it holds.

    It is written beside the note first: what a killed process leaves goes with the work folder.
    """
    documents, sentences, tokens = 0, 0, 0
    unplaced = note.with_suffix(".tfrecord")
    with atomic_path(unplaced) as temporary:
        with open(temporary, "wb") as file:
            for number, token_ids, sentence_lengths in numbered:
                file.write(encode_document(token_ids, sentence_lengths, number))
                documents += 1
                sentences += len(sentence_lengths)
                tokens += len(token_ids)
            file.flush()
            os.fsync(file.fileno())
        shard = Shard(path.name, documents, sentences, tokens, temporary.stat().st_size, file_sha256(temporary))
    os.replace(unplaced, path)
    atomic_write_json(note, dataclasses.asdict(shard))
    return shard


def _gather(job: ShardJob) -> Iterator[NumberedDocument]:
    """Number, token ids and sentence lengths of a shard's documents, in the order of their keys."""
    stretches = max(1, round(job.tokens / _STRETCH_TOKENS))
    bounds = [job.low + (job.high - job.low) * i // stretches for i in range(stretches + 1)]
    for low, high in itertools.pairwise(bounds):
        part = merged_range(job.parts, low, high)
        for number, slices in zip(part.numbers.tolist(), part.documents.slices(), strict=True):
            yield number, *slices
