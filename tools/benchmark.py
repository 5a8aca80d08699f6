"""Measure what model files cost on this machine: size, cold start, latency, tokens a second, peak memory.

MODEL is a .tflite file of `keras-bert export` (timed in its runtime, without tokenizer), or an .onnx file with the
usual inputs (input_ids, attention_mask, token_type_ids), timed in every one of ONNX Runtime and OpenVINO that is
installed. A .tflite file of fixed lengths runs the smallest that fits. Each runs in a process of its own; the calls of
all are interleaved in turns, so that a drift of the machine meets all of them. Cold start ends with the first answer,
to a text of the shortest length. The first MODEL is what the others are held against.

example:
  keras-bert benchmark model.tflite peer_int8.onnx --length 20 128 --threads 1 -o benchmark.json --picture benchmark.png
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

from keras_bert.errors import KerasBertError, MissingExtraError

from . import options as shared
from .benchmark_worker import RUNTIMES, summary
from .report import print_table, processor, write_report

ROUNDS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("models", nargs="+", type=pathlib.Path, metavar="MODEL", help="a .tflite or .onnx file")
    parser.add_argument("--length", type=int, nargs="+", default=[20, 128], metavar="N", help="tokens; default 20 128")
    parser.add_argument("--threads", type=shared.positive(int), default=1, metavar="N", help="default 1")
    parser.add_argument(
        "--runs", type=shared.positive(int), default=200, metavar="N", help="timed calls of each length"
    )
    parser.add_argument("-o", "--output", type=pathlib.Path, metavar="FILE", help="write a JSON report")
    parser.add_argument("--picture", type=pathlib.Path, metavar="FILE", help="draw latencies (.png, .svg); matplotlib")


def run(options: argparse.Namespace) -> int:
    """Measure all, print one table, write what was asked for.

    Raises:
        KerasBertError: a file that is missing, of no known kind, or that its runtime cannot run.
    """
    if options.picture and importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("--picture needs matplotlib: pip install matplotlib")
    if any(length < 3 for length in options.length):
        raise KerasBertError(f"a text has 3 tokens or more, not {min(options.length)}")
    contestants = [(model, runtime) for model in options.models for runtime in runtimes_of(model)]
    rows = measure(contestants, options.length, int(options.threads), int(options.runs))
    print_table(
        f"batch 1, {options.threads} thread(s), {processor()}; {rows[0]['name']} / this: below 1, the first is faster",
        ["model", "size", "cold start", "peak memory", "tokens", "p50", "p90", "p99", "tokens/s", "first / this"],
        [
            [
                row["name"], f"{row['size'] / 1e6:.1f} MB", f"{1e3 * row['cold_start']:.0f} ms",
                f"{row['peak_bytes'] / 1e6:.0f} MB" if row["peak_bytes"] else "-", result["tokens"],
                *(f"{1e3 * result[name]:.2f} ms" for name in ("p50", "p90", "p99")),
                f"{result['tokens_per_second']:,.0f}", f"{first['p50'] / result['p50']:.2f}",
            ]
            for row in rows
            for result, first in zip(row["latency"], rows[0]["latency"], strict=True)
        ],
    )  # fmt: skip
    if options.output:
        values = {"threads": int(options.threads), "runs": int(options.runs), "results": rows}
        write_report(options.output, "benchmark", values)
    if options.picture:
        draw(rows, options.picture)
    return 0


def runtimes_of(path: pathlib.Path) -> list[str]:
    """The installed runtimes that run the file at `path`.

    Raises:
        KerasBertError: there is no such file, no runtime knows its kind, or none that does is installed.
    """
    if not path.is_file():
        raise KerasBertError(f"{path} is not a file")
    modules = RUNTIMES.get(path.suffix)
    if modules is None:
        raise KerasBertError(f"{path} is of no known kind: expected {' or '.join(RUNTIMES)}")
    installed = [name for name, module in modules.items() if importlib.util.find_spec(module)]
    if not installed:
        raise KerasBertError(f"{path} needs one of {', '.join(modules)}, and none is installed")
    return installed


def measure(
    contestants: list[tuple[pathlib.Path, str]], lengths: list[int], threads: int, runs: int
) -> list[dict[str, Any]]:
    """A row of plain values for each (file, runtime): seconds, bytes, and `latency` with one entry a length.

    Raises:
        KerasBertError: a runtime failed; its last line is in the message.
    """
    rounds = min(ROUNDS, runs)
    workers: list[_Worker] = []
    try:
        for path, runtime in contestants:
            workers.append(_Worker(path, runtime, threads, min(lengths)))
        times: list[list[list[float]]] = [[[] for _ in lengths] for _ in workers]
        for index, length in enumerate(lengths):
            for _ in range(rounds):
                for worker, mine in zip(workers, times, strict=True):
                    mine[index] += worker.ask({"length": length, "runs": -(-runs // rounds)})["seconds"]
        rows = []
        for worker, (path, runtime), mine in zip(workers, contestants, times, strict=True):
            facts = worker.ask({"length": 0, "runs": 0})
            name = f"{path.name}, {runtime}"
            rows.append(
                {
                    "name": name,
                    "file": str(path),
                    "runtime": runtime,
                    "size": path.stat().st_size,
                    "cold_start": worker.cold_start,
                    "peak_bytes": facts["peak_bytes"],
                    "latency": [summary(length, seconds) for length, seconds in zip(lengths, mine, strict=True)],
                }
            )
        return rows
    finally:
        for worker in workers:
            worker.close()


def draw(rows: list[dict[str, Any]], path: pathlib.Path) -> None:
    """Bars of the median, whiskers to p99, grouped by length."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lengths = [result["tokens"] for result in rows[0]["latency"]]
    figure, axes = pyplot.subplots(figsize=(1.5 + 1.6 * len(lengths), 4), layout="constrained")
    width = 0.8 / len(rows)
    for index, row in enumerate(rows):
        medians = [1e3 * result["p50"] for result in row["latency"]]
        beyond = [1e3 * (result["p99"] - result["p50"]) for result in row["latency"]]
        places = [place + (index - (len(rows) - 1) / 2) * width for place in range(len(lengths))]
        axes.bar(places, medians, width, yerr=[[0] * len(lengths), beyond], capsize=2, label=row["name"])
    axes.set_xticks(range(len(lengths)), [f"{length} tokens" for length in lengths])
    axes.set_ylabel("ms a text: median, whisker to p99")
    axes.legend(fontsize="small")
    temporary = path.with_name(f".{path.name}{path.suffix}")
    try:
        figure.savefig(temporary)
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        temporary.unlink(missing_ok=True)
        raise KerasBertError(f"the picture {path} cannot be written: {error}") from error
    finally:
        pyplot.close(figure)


class _Worker:
    """A process with one file open in one runtime. `cold_start`: seconds from its first import to its first answer."""

    def __init__(self, path: pathlib.Path, runtime: str, threads: int, first_length: int) -> None:
        self.name = f"{path} in {runtime}"
        script = pathlib.Path(__file__).with_name("benchmark_worker.py")
        # A file, not a pipe: nobody reads it before the end, and a runtime that logs would wait for one.
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (until `close`)
        self.process = subprocess.Popen(
            [sys.executable, str(script), runtime, str(path), str(threads), str(first_length)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.cold_start = float(self._answer()["cold_start"])

    def ask(self, request: dict[str, int]) -> dict[str, Any]:
        assert self.process.stdin
        # A worker that has died, while another had its turn maybe, has closed its end; `_answer` says what it died of.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            self._errors.seek(0)
            lines = self._errors.read().strip().splitlines()
            message = f"killed by signal {-status}" if status < 0 else lines[-1] if lines else f"exit status {status}"
            raise KerasBertError(f"{self.name} failed: {message[:300]}")
        return json.loads(line)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self._errors.close()
