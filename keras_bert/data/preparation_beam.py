"""The preparation of `preparation` as an Apache Beam pipeline: the same transforms, the same shards to the byte.

It runs on whatever runs Beam: DirectRunner on one machine, Flink, Spark or Dataflow on many. Corpus and output are
paths that every worker sees: a shared file system, or a bucket that is mounted. One worker draws the shards' boundaries
from the keys of all documents, 16 bytes each, and memory there bounds the number of documents.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import KerasBertError, MissingExtraError
from ..files import atomic_write_json
from ..tokenizers import Tokenizer
from .assignment import shard_boundaries, shard_count
from .corpus import Piece, read_blocks
from .corpus_files import group_files
from .parts import document_keys, select_share
from .preparation_jobs import write_shard_file
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
from .shards import read_shard_note, shard_name, token_dtype
from .token_documents import document_words, tokenize_block

try:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
except ImportError as error:
    raise MissingExtraError(
        "running on Apache Beam needs the extra beam: pip install keras-bert-toolkit[beam]"
    ) from error

# Key (big-endian, so that it sorts as bytes), group, block, number in the block, token ids, sentence lengths.
_Document = tuple[bytes, int, int, int, bytes, bytes]
# Group, block, characters replaced, keys, token counts.
_Block = tuple[int, int, int, bytes, bytes]
# The inner boundaries of the shards; the number of the first document of each group and block.
_Layout = tuple[bytes, dict[tuple[int, int], int]]
_LAYOUT = "layout.json"


def prepare_with_beam(
    files: Sequence[pathlib.Path],
    tokenizer: Tokenizer,
    output: str | os.PathLike[str],
    settings: PreparationSettings,
    pipeline_arguments: Sequence[str] = (),
) -> Prepared:
    """Write the shard folder `output` from a corpus; see `preparation.prepare`. An interrupted run starts anew.

    Args:
        pipeline_arguments: Beam's own, e.g. "--runner=FlinkRunner"; without any, DirectRunner.

    Raises:
        DataError, KerasBertError: as for `preparation.prepare`.
    """
    folder = pathlib.Path(output).resolve()
    work = folder / WORK_FOLDER
    plan = make_plan(files, tokenizer, settings)
    finished = begin(folder, plan)
    if finished is not None:
        return Prepared(finished, None, 0, 0)
    groups = [(i, [path.resolve() for path in group]) for i, group in enumerate(group_files(files, block_size(files)))]
    dtype = np.dtype(token_dtype(tokenizer.vocab_size))
    try:
        with beam.Pipeline(options=PipelineOptions(list(pipeline_arguments))) as pipeline:
            tokenized = (
                pipeline
                | "files" >> beam.Create(groups)
                | "blocks" >> beam.FlatMap(_blocks, settings, block_size(files))
                | "spread" >> beam.Reshuffle()
                | "tokenise"
                >> beam.ParDo(_Tokenize(tokenizer.to_json(), settings)).with_outputs("blocks", main="documents")
            )
            layout = (
                tokenized["blocks"]
                | "gather keys" >> beam.combiners.ToList()
                | "boundaries" >> beam.Map(_layout, settings, os.fspath(work))
            )
            _ = (
                tokenized["documents"]
                | "number" >> beam.Map(_place, beam.pvalue.AsSingleton(layout))
                | "shards" >> beam.GroupByKey()
                | "write" >> beam.Map(_write, beam.pvalue.AsSingleton(layout), os.fspath(folder), dtype.str)
            )
    except KerasBertError:
        raise
    except Exception as error:  # what a runner raises is its own affair
        raise KerasBertError(f"the Beam pipeline failed: {error}") from error
    summary = json.loads((work / _LAYOUT).read_text(encoding="utf-8"))
    check_not_empty(summary["documents"], len(files))
    shards = [read_shard_note(_note(work, i)) for i in range(summary["shards"])]
    whole = [shard for shard in shards if shard is not None]
    if len(whole) < len(shards):
        raise KerasBertError(f"the Beam pipeline wrote {len(whole)} of {len(shards)} shards to {folder}")
    return Prepared(finish(folder, plan, tokenizer, settings, whole), summary["replaced"], 0, 0)


# === Transforms ===


def _blocks(group: tuple[int, list[pathlib.Path]], settings: PreparationSettings, size: int) -> Iterator[Any]:
    number, files = group
    for index, pieces in enumerate(read_blocks(files, settings.corpus, size)):
        yield number, index, pieces


class _Tokenize(beam.DoFn):
    """A block to its documents and, in the output "blocks", what the boundaries are drawn from."""

    def __init__(self, tokenizer_json: str, settings: PreparationSettings) -> None:
        self.tokenizer_json, self.settings = tokenizer_json, settings

    def setup(self) -> None:
        self.words = document_words(Tokenizer.from_json(self.tokenizer_json))

    def process(self, element: tuple[int, int, Sequence[Piece]]) -> Iterator[Any]:
        group, block, pieces = element
        replaced: list[int] = []
        settings = self.settings
        documents = tokenize_block(pieces, self.words, settings.corpus, settings.rules, replaced.append)
        keys = document_keys(settings.seed, group, block, len(documents))
        documents, keys = select_share(documents, keys, settings.share)
        for number, (key, (ids, lengths)) in enumerate(zip(keys.tolist(), documents.slices(), strict=True)):
            yield key.to_bytes(8, "big"), group, block, number, ids.tobytes(), lengths.tobytes()
        counts = documents.token_counts.tobytes()
        yield beam.pvalue.TaggedOutput("blocks", (group, block, sum(replaced), keys.tobytes(), counts))


def _layout(blocks: list[_Block], settings: PreparationSettings, work: str) -> _Layout:
    """Where the shards begin and end, and the numbers of the documents; the totals go to a file for the launcher."""
    blocks = sorted(blocks)
    keys = np.frombuffer(b"".join(block[3] for block in blocks), np.uint64)
    counts = np.frombuffer(b"".join(block[4] for block in blocks), np.int64)
    documents, tokens = len(keys), int(counts.sum())
    shards, boundaries = 0, np.zeros(0, np.uint64)
    if documents:
        shards = shard_count(documents, tokens, settings.shard_tokens, settings.num_shards)
        boundaries = np.array(shard_boundaries(lambda: [(keys, counts)], documents, tokens, shards)[1:-1], np.uint64)
    replaced = sum(block[2] for block in blocks)
    atomic_write_json(os.path.join(work, _LAYOUT), {"documents": documents, "shards": shards, "replaced": replaced})
    firsts = np.cumsum([0, *(len(block[3]) // keys.itemsize for block in blocks)]).tolist()
    return boundaries.tobytes(), {block[:2]: first for block, first in zip(blocks, firsts, strict=False)}


def _place(document: _Document, layout: _Layout) -> tuple[int, tuple[bytes, int, bytes, bytes]]:
    """The shard of a document; its key, number and arrays."""
    key, group, block, number, ids, lengths = document
    boundaries = np.frombuffer(layout[0], np.uint64)
    shard = int(np.searchsorted(boundaries, np.uint64(int.from_bytes(key, "big")), side="right"))
    return shard, (key, layout[1][group, block] + number, ids, lengths)


def _write(
    shard: tuple[int, Iterable[tuple[bytes, int, bytes, bytes]]], layout: _Layout, folder: str, dtype: str
) -> None:
    """Write one shard, its documents in the order of their keys."""
    index, documents = shard
    count = len(layout[0]) // 8 + 1
    path = pathlib.Path(folder)
    numbered = (
        (number, np.frombuffer(ids, dtype), np.frombuffer(lengths, np.int32))
        for _, number, ids, lengths in sorted(documents)
    )
    write_shard_file(path / shard_name(index, count), _note(path / WORK_FOLDER, index), numbered)


def _note(work: pathlib.Path, index: int) -> pathlib.Path:
    return work / f"shard-{index:05d}.json"
