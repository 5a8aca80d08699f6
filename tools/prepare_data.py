"""Turn a corpus into shards of tokenised documents for pretraining.

Text files, JSONL rows, folders and globs, plain or gzipped, become documents of sentences of token ids in TFRecord
shards with a manifest. Memory does not grow with the corpus. A run that was stopped goes on when the command is given
again.

    keras-bert prepare-data novels/ --join-lines --tokenizer my-tokenizer -o shards
    keras-bert prepare-data "wiki/*.jsonl.gz" --text-field body --tokenizer my-tokenizer -o shards --workers 16
"""

from __future__ import annotations

import argparse
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any, get_args

import rich.console
import rich.progress

from keras_bert.data.corpus import CorpusFormat, DecodingErrors, DocumentFormat
from keras_bert.data.corpus_files import find_files
from keras_bert.data.preparation import prepare
from keras_bert.data.preparation_plan import SHARD_TOKENS, PreparationSettings, Prepared
from keras_bert.data.token_documents import SentenceRule, TextRules
from keras_bert.tokenizers import Tokenizer

from .options import positive
from .report import print_table, write_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("corpus", nargs="+", help="text or JSONL files (also .gz), folders of them, or quoted globs")
    parser.add_argument("--tokenizer", required=True, help="folder with the tokenizer, e.g. of a checkpoint")
    parser.add_argument("-o", "--output", required=True, help="folder to write the shards to")
    parser.add_argument(
        "--format",
        choices=get_args(DocumentFormat),
        default="auto",
        help="documents: one a file, blank lines between, one a line, one a JSON object a line; "
        "auto (default): .jsonl files hold rows, others are one document each",
    )
    parser.add_argument("--text-field", default="text", help="field of JSONL rows that holds the text (default text)")
    parser.add_argument(
        "--join-lines", action="store_true", help="lines are hard-wrapped: join them up to a blank line"
    )
    parser.add_argument(
        "--sentences", choices=get_args(SentenceRule), default="split", help="split by rule (default), or one a line"
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--shards", type=positive(int), help="how many shards")
    size.add_argument(
        "--shard-tokens",
        type=positive(int),
        default=SHARD_TOKENS,
        help=f"about how many tokens a shard (default {SHARD_TOKENS})",
    )
    parser.add_argument("--workers", type=positive(int), help="processes (default: one a core)")
    parser.add_argument(
        "--share",
        nargs=2,
        type=float,
        default=(0.0, 1.0),
        metavar=("FROM", "TO"),
        help="only this share of the documents, drawn at random by the seed: 0 0.99 to train on, 0.99 1 held out",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the documents' order (default 0)")
    parser.add_argument(
        "--errors",
        choices=get_args(DecodingErrors),
        default="strict",
        help="bytes that are not UTF-8: stop and name them (default), or put U+FFFD and count them",
    )

    parser.add_argument("--runner", choices=("local", "beam"), default="local", help="beam: Apache Beam (extra beam)")
    parser.add_argument(
        "--beam",
        action="append",
        default=[],
        metavar="ARGUMENT",
        help="an argument for Beam, repeatable: --beam=--runner=FlinkRunner --beam=--parallelism=64",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prepare, report; returns the exit code."""
    files = find_files(arguments.corpus)
    tokenizer = Tokenizer.from_pretrained(arguments.tokenizer)
    settings = PreparationSettings(
        corpus=CorpusFormat(arguments.format, arguments.text_field, arguments.errors),
        rules=TextRules(arguments.join_lines, arguments.sentences),
        seed=arguments.seed,
        share=tuple(arguments.share),
        num_shards=arguments.shards,
        shard_tokens=arguments.shard_tokens,
    )
    started = time.perf_counter()
    prepared = _prepare(arguments, files, tokenizer, settings)
    seconds = time.perf_counter() - started
    manifest = prepared.manifest
    size = sum(source["bytes"] for source in manifest.sources)
    values: dict[str, Any] = {
        "tokenizer": arguments.tokenizer,
        "sources": len(manifest.sources),
        "source_bytes": size,
        "documents": manifest.documents,
        "sentences": manifest.sentences,
        "tokens": manifest.tokens,
        "shards": len(manifest.shards),
    }
    if prepared.replaced is not None:
        values |= {
            "seed": manifest.seed,
            "settings": dict(manifest.settings),
            "replaced_characters": prepared.replaced,
            "parts_kept": prepared.kept_parts,
            "shards_kept": prepared.kept_shards,
            "seconds": round(seconds, 3),
        }
        write_report(os.path.join(arguments.output, "report.json"), "prepare-data", values)
    header = ["shards", "documents", "sentences", "tokens", "MB of text", "seconds"]
    row = [len(manifest.shards), manifest.documents, manifest.sentences, manifest.tokens]
    print_table(f"{arguments.output}", header, [[*row, f"{size / 1e6:.1f}", f"{seconds:.1f}"]])
    if prepared.replaced is None:
        print("nothing to do: the folder was finished before, and every shard is whole")
    if prepared.kept_parts or prepared.kept_shards:
        print(f"kept from the run before: {prepared.kept_parts} parts, {prepared.kept_shards} shards")
    if prepared.replaced:
        print(f"characters put for bytes that are not UTF-8: {prepared.replaced}")
    return 0


def _prepare(
    arguments: argparse.Namespace, files: Sequence[pathlib.Path], tokenizer: Tokenizer, settings: PreparationSettings
) -> Prepared:
    if arguments.runner == "beam":
        from keras_bert.data.preparation_beam import prepare_with_beam

        return prepare_with_beam(files, tokenizer, arguments.output, settings, arguments.beam)
    with _Bars() as bars:
        return prepare(
            files, tokenizer, arguments.output, settings, workers=arguments.workers, on_progress=bars.advance_stage
        )


class _Bars(rich.progress.Progress):
    """One bar a stage, on standard error."""

    def __init__(self) -> None:
        columns = ("{task.description}", rich.progress.BarColumn(), "{task.percentage:>3.0f}%")
        console = rich.console.Console(stderr=True)
        super().__init__(*columns, rich.progress.TimeRemainingColumn(), console=console)
        self._stages: dict[str, rich.progress.TaskID] = {}

    def advance_stage(self, stage: str, done: int, total: int) -> None:
        if stage not in self._stages:
            self._stages[stage] = self.add_task(stage, total=total)
        self.advance(self._stages[stage], done)
