"""Hold the tokenizers against golden ids and offsets; time them against the bare `tokenizers` package.

GOLDENS is a JSON file {"rows": [{"text": ..., NAME: ids, "NAME:offsets": offsets}, ...]}; each vocabulary is given as
NAME=FOLDER. Exit status 1 when any row differs.

Example:
    python benchmarks/tokenizer_parity.py tokenizer-goldens.json bert-uncased=vocabs/bert-base-uncased \\
        roberta=vocabs/roberta-base albert=vocabs/albert-base-v2 --json parity.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers
from report import machine_facts, print_table, write_json

from keras_bert.tokenizers import Tokenizer

REPEATS = 5


def seconds(*functions: Callable[[], Any]) -> list[float]:
    """Median seconds of each function, taken in turns so that a busy machine slows all alike."""
    taken: list[list[float]] = [[] for _ in functions]
    for _ in range(REPEATS):
        for function, times in zip(functions, taken, strict=True):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in taken]


def compare(name: str, folder: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows equal in ids and offsets, and times, for one vocabulary."""
    tokenizer = Tokenizer.from_pretrained(folder)
    texts = [row["text"] for row in rows]
    encodings = tokenizer.encode_batch(texts)
    pairs = list(zip(encodings, rows, strict=True))
    with_offsets = [(encoding, row[f"{name}:offsets"]) for encoding, row in pairs if f"{name}:offsets" in row]
    bare = tokenizers.Tokenizer.from_str(tokenizer.to_json())
    load, ours, ids_only, theirs = seconds(
        lambda: Tokenizer.from_pretrained(folder),
        lambda: tokenizer.encode_batch(texts),
        lambda: tokenizer.tokenize_batch(texts),
        lambda: bare.encode_batch(texts),
    )
    return {
        "name": name,
        "rows": len(rows),
        "equal_ids": sum(encoding.token_ids == row[name] for encoding, row in pairs),
        "rows_with_offsets": len(with_offsets),
        "equal_offsets": sum([list(pair) for pair in encoding.offsets] == golden for encoding, golden in with_offsets),
        "load_seconds": load,
        "encode_ratio": ours / theirs,
        "tokenize_ratio": ids_only / theirs,
    }


def main() -> int:
    """Print the table; return 1 when a row differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("goldens", type=Path)
    parser.add_argument("vocabularies", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args()
    rows = json.loads(arguments.goldens.read_text(encoding="utf-8"))["rows"]
    results = [compare(*vocabulary.split("=", 1), rows) for vocabulary in arguments.vocabularies]
    print_table(
        "Tokenizers against golden rows; times as ratios to the bare tokenizers package",
        ["vocabulary", "ids equal", "offsets equal", "load s", "encode_batch", "tokenize_batch"],
        [
            [
                result["name"],
                f"{result['equal_ids']} / {result['rows']}",
                f"{result['equal_offsets']} / {result['rows_with_offsets']}",
                f"{result['load_seconds']:.3f}",
                f"{result['encode_ratio']:.2f}",
                f"{result['tokenize_ratio']:.2f}",
            ]
            for result in results
        ],
    )
    if arguments.json:
        write_json(arguments.json, {"machine": machine_facts(["tokenizers"]), "results": results})
    exact = all(
        result["equal_ids"] == result["rows"] and result["equal_offsets"] == result["rows_with_offsets"]
        for result in results
    )
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
