"""Learn a vocabulary from text files.

The corpus is streamed: memory holds the counts of its words, never its text. The result is a folder with tokenizer.json
that this library, `tokenizers` and `transformers` open. The same files give the same vocabulary.

    keras-bert train-tokenizer corpus/*.txt more.jsonl.gz --kind wordpiece --vocab-size 8000 --output my-tokenizer
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import get_args

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from keras_bert.data.corpus import DecodingErrors, stream_texts
from keras_bert.data.corpus_files import find_files
from keras_bert.errors import TokenizerError
from keras_bert.tokenizers.training import train_tokenizer

SMALLEST_VOCABULARY = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("corpus", nargs="+", help="text or JSONL files (also .gz), folders of them, or quoted globs")
    parser.add_argument("--output", required=True, help="folder to write the tokenizer to")
    parser.add_argument(
        "--kind", choices=("wordpiece", "bpe", "unigram"), default="wordpiece", help="default: wordpiece"
    )
    parser.add_argument(
        "--vocab-size", type=int, default=30000, help="entries, special tokens included (default 30000)"
    )
    case = parser.add_mutually_exclusive_group()
    case.add_argument(
        "--lowercase", action="store_true", default=None, help="lower-case, strip accents (default but for bpe)"
    )
    case.add_argument("--cased", dest="lowercase", action="store_false", help="keep case and accents (default for bpe)")
    parser.add_argument("--text-field", default="text", help="field of JSONL rows that holds the text (default text)")
    parser.add_argument(
        "--errors",
        choices=get_args(DecodingErrors),
        default="strict",
        help="bytes that are not UTF-8: stop and name them (default), or put U+FFFD for them",
    )
    parser.add_argument(
        "--max-alphabet", type=int, default=1000, help="WordPiece: characters kept (default 1000; Chinese: 8000)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train and save; returns the exit code."""
    if arguments.vocab_size < SMALLEST_VOCABULARY:
        raise TokenizerError(f"--vocab-size must be at least {SMALLEST_VOCABULARY}, got {arguments.vocab_size}")
    if arguments.max_alphabet < 1:
        raise TokenizerError(f"--max-alphabet must be at least 1, got {arguments.max_alphabet}")
    files = find_files(arguments.corpus)
    total = sum(file.stat().st_size for file in files)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:

        def texts() -> Iterator[str]:
            task = progress.add_task("reading", total=total)
            yield from stream_texts(
                files, arguments.text_field, lambda count: progress.advance(task, count), arguments.errors
            )
            progress.update(task, description="read, learning")

        tokenizer = train_tokenizer(
            arguments.kind,
            texts,
            arguments.vocab_size,
            lowercase=arguments.lowercase,
            max_alphabet=arguments.max_alphabet,
        )
    tokenizer.save(arguments.output)
    print(f"{arguments.kind} vocabulary of {tokenizer.vocab_size} from {len(files)} files, saved to {arguments.output}")
    return 0
