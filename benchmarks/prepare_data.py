"""`keras-bert prepare-data` against the bare `tokenizers` batch encoder: rate and peak memory.

Rate: the corpus as it is, once, from files to finished shards (start of the processes, sentences, shards, checksums and
all) against `encode_batch` and `encode_batch_fast` on the lines of the same files, already in memory and on all cores;
interleaved, medians; wall time, and processor time of all threads and processes. Memory: the corpus repeated to each
size; the resident memory of the main process and all its workers together, the largest sum seen.

Example:
    python benchmarks/prepare_data.py novels/ --tokenizer my-tokenizer --memory-mb 10 100 1000
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tokenizers
from report import machine_facts, print_table, write_json

from keras_bert.data.corpus import stream_texts
from keras_bert.data.corpus_files import find_files
from keras_bert.tokenizers import Tokenizer

LINES_AT_ONCE = 10_000
PAGE = os.sysconf("SC_PAGE_SIZE")


def prepare(corpus: list[str], tokenizer: str, output: Path, options: list[str]) -> dict[str, Any]:
    """Run the command; its wall seconds, the report it wrote, and the peak of the summed resident memory in MB."""
    command = [sys.executable, "-m", "keras_bert_tools", "prepare-data", *corpus, "--tokenizer", tokenizer]
    start, processor = time.perf_counter(), children_seconds()
    peak = 0
    with subprocess.Popen([*command, "-o", str(output), *options], stdout=subprocess.DEVNULL) as run:
        while run.poll() is None:
            peak = max(peak, sum(map(resident_bytes, family(run.pid))))
            time.sleep(0.05)
    if run.returncode:
        raise SystemExit(f"prepare-data ended with {run.returncode}")
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    return {
        "seconds": time.perf_counter() - start,
        "processor_seconds": children_seconds() - processor,
        "tokens": report["tokens"],
        "peak_mb": peak / 1e6,
    }


def children_seconds() -> float:
    """Processor seconds of all processes that were started from here and have ended, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def family(pid: int) -> list[int]:
    """A process and all that descend from it (Linux)."""
    found = [pid]
    for parent in found:
        try:
            found += map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
        except OSError:
            continue
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory of a process, 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def bare_seconds(backend: tokenizers.Tokenizer, method: str, lines: list[str]) -> tuple[float, float]:
    """Wall and processor seconds the bare batch encoder takes for all lines."""
    start, processor = time.perf_counter(), time.process_time()
    for i in range(0, len(lines), LINES_AT_ONCE):
        getattr(backend, method)(lines[i : i + LINES_AT_ONCE], add_special_tokens=False)
    return time.perf_counter() - start, time.process_time() - processor


def measure_rate(corpus: list[str], tokenizer: str, options: list[str], folder: Path, repeats: int) -> dict[str, Any]:
    """Medians over interleaved runs, as MB/s, tokens/s and ratios to the bare encoders."""
    files = find_files(corpus)
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    lines = list(stream_texts(files))
    backend = tokenizers.Tokenizer.from_str(Tokenizer.from_pretrained(tokenizer).to_json())
    taken: dict[str, list[tuple[float, float]]] = {"prepare_data": [], "encode_batch": [], "encode_batch_fast": []}
    tokens = 0
    for i in range(repeats):
        result = prepare(corpus, tokenizer, folder / f"rate-{i}", options)
        tokens = result["tokens"]
        taken["prepare_data"].append((result["seconds"], result["processor_seconds"]))
        for method in ("encode_batch", "encode_batch_fast"):
            taken[method].append(bare_seconds(backend, method, lines))
    seconds = {name: statistics.median(wall for wall, _ in times) for name, times in taken.items()}
    processor = {name: statistics.median(processor for _, processor in times) for name, times in taken.items()}
    return {
        "megabytes": megabytes,
        "tokens": tokens,
        "seconds": seconds,
        "mb_per_second": {name: megabytes / value for name, value in seconds.items()},
        "tokens_per_second": {name: tokens / value for name, value in seconds.items()},
        "rate_to": {name: value / seconds["prepare_data"] for name, value in seconds.items()},
        "processor_seconds": processor,
        "processor_rate_to": {name: value / processor["prepare_data"] for name, value in processor.items()},
    }


def repeat(corpus: list[str], size_mb: int, folder: Path, one_file: bool) -> Path:
    """The corpus over and over up to a size: copies of its files, or all in one file with blank lines between."""
    folder.mkdir()
    left = size_mb * 1_000_000
    count = 0
    while left > 0:
        for file in find_files(corpus):
            data = file.read_bytes()[: max(left, 0)]
            name = "all.txt" if one_file else f"{count:06d}{file.suffix}"
            with open(folder / name, "ab") as target:
                target.write(data.decode("utf-8", "ignore").encode() + b"\n\n")
            left -= len(data)
            count += 1
            if left <= 0:
                break
    return folder


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="+", help="plain text files, folders, globs")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--memory-mb", type=int, nargs="*", default=[10, 100, 1000], help="sizes to measure memory at")
    parser.add_argument("--one-file", action="store_true", help="memory: one large file instead of many")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved runs for the rate (default 3)")
    parser.add_argument("--no-rate", action="store_true", help="memory alone")
    parser.add_argument("--options", nargs="*", default=["--join-lines"], help="further options of prepare-data")
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"machine": machine_facts(["tokenizers", "numpy"])}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not arguments.no_rate:
            rate = results["rate"] = measure_rate(
                arguments.corpus, arguments.tokenizer, arguments.options, folder, arguments.repeats
            )
            print_table(
                f"{rate['megabytes']:.1f} MB of text, {rate['tokens']} tokens, all cores",
                ["", "seconds", "MB/s", "tokens/s", "rate to this", "processor seconds", "rate to this"],
                [
                    [
                        name,
                        f"{rate['seconds'][name]:.2f}",
                        f"{rate['mb_per_second'][name]:.2f}",
                        f"{rate['tokens_per_second'][name]:.0f}",
                        f"{rate['rate_to'][name]:.2f}",
                        f"{rate['processor_seconds'][name]:.2f}",
                        f"{rate['processor_rate_to'][name]:.2f}",
                    ]
                    for name in rate["seconds"]
                ],
            )
        results["memory"] = []
        for size in arguments.memory_mb:
            corpus = repeat(arguments.corpus, size, folder / f"corpus-{size}", arguments.one_file)
            result = prepare([str(corpus)], arguments.tokenizer, folder / f"memory-{size}", arguments.options)
            results["memory"].append({"size_mb": size, **result})
        if results["memory"]:
            print_table(
                "The corpus repeated: resident memory of the main process and its workers together",
                ["MB of text", "peak MB", "seconds", "MB/s", "tokens/s"],
                [
                    [
                        str(row["size_mb"]),
                        f"{row['peak_mb']:.0f}",
                        f"{row['seconds']:.1f}",
                        f"{row['size_mb'] / row['seconds']:.2f}",
                        f"{row['tokens'] / row['seconds']:.0f}",
                    ]
                    for row in results["memory"]
                ],
            )
    if arguments.json:
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
