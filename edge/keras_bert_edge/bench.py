"""What a file costs on this machine: latency by length, cold start, memory."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time

from . import profile
from .errors import EdgeError
from .model import load
from .signature import smallest_that_fits
from .tasks.masked_lm import MASK_TOKENS

DEFAULT_LENGTHS = (16, 32, 64, 128)
WARM_UP_RUNS = 5

# Run in a process of its own: everything from the first import to the first answer. "runtime" opens the model and
# invokes it with nothing around it; "edge" loads the file and answers a text; "imports" is the memory of the libraries.
# Linux alone tells the peak of this program: ru_maxrss begins with the memory of the process that started it.
COLD_START = """
import json, sys, time
began = time.perf_counter()
mode, path, threads, text, pair = sys.argv[1:]
if mode == "edge":
    import keras_bert_edge
    keras_bert_edge.load(path, threads=int(threads))(text, pair or None)
else:
    import os
    import numpy
    from keras_bert_edge.runtime import find_runtime
    interpreter_class = find_runtime()[1]
    if mode == "runtime":
        interpreter = interpreter_class(model_path=os.fsencode(path), num_threads=int(threads))
        interpreter.allocate_tensors()
        for details in interpreter.get_input_details():
            interpreter.set_tensor(details["index"], numpy.zeros(details["shape"], numpy.int32))
        interpreter.invoke()
seconds = time.perf_counter() - began
try:
    with open("/proc/self/status") as status:
        peak = 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
except OSError:
    peak = None
print(json.dumps([seconds, peak]))
"""


def measure(path, lengths=None, threads=1, runs=200, cold_starts=5, with_profile=False):
    """A report of plain values: seconds, bytes and tokens.

    Args:
      path: the exported file.
      lengths: token counts, special tokens included; default 16, 32, 64, 128, as far as the model reads them.
      threads: threads that one call may use.
      runs: timed calls for each length.
      cold_starts: fresh processes of each kind.
      with_profile: add `profile`, the time by operator for each length, or each of the fixed lengths that serve them
        (`keras_bert_edge.profile`).

    Raises:
      EdgeError: the file cannot be run, or a length is beyond the model.
    """
    if runs < 1:
        raise EdgeError(f"runs must be at least 1, not {runs}")
    model = load(path, threads=threads)
    for length in lengths or ():
        if not 8 <= length <= model.max_length:
            raise EdgeError(f"length must be from 8 to {model.max_length} for {path}, not {length}")
    lengths = lengths or [length for length in DEFAULT_LENGTHS if length <= model.max_length] or [model.max_length]
    rows = [_latency(model, length, runs) for length in lengths]
    report = {
        "file": os.fspath(path),
        "file_size": os.path.getsize(path),
        "task": model.task,
        "recipe": model.manifest.recipe,
        "runtime": model.engine.runtime,
        "threads": threads,
        "runs": runs,
        "processor": platform.processor() or platform.machine(),
        "latency": rows,
        "cold_start": _cold_start(path, threads, cold_starts, *_text_of(model, 8)),
    }
    if with_profile:
        manifest, tokens = model.manifest, [row["tokens"] for row in rows]
        # Lengths that one signature runs are one profile.
        sizes = dict.fromkeys(smallest_that_fits(manifest.signatures, length)[1] or length for length in tokens)
        report["profile"] = [
            profile.profile(path, manifest.model_size, manifest.signatures, size, threads) for size in sizes
        ]
    return report


def table(report):
    """The report as text."""
    lines = [
        f"{report['file']}: {report['task']}, {report['recipe']}, {report['file_size'] / 1e6:.1f} MB;"
        f" {report['runtime']}, threads: {report['threads']}, runs a row: {report['runs']}",
        "",
        f"{'tokens':>7} {'p50 ms':>9} {'p90 ms':>9} {'p99 ms':>9} {'tokens/s':>10} {'texts/s':>9} {'text p50 ms':>12}",
    ]
    for row in report["latency"]:
        p50 = row["p50"]
        lines.append(
            f"{row['tokens']:>7} {1e3 * p50:>9.3f} {1e3 * row['p90']:>9.3f} {1e3 * row['p99']:>9.3f}"
            f" {row['tokens'] / p50:>10,.0f} {1 / p50:>9,.0f} {1e3 * row['text_p50']:>12.3f}"
        )
    cold = report["cold_start"]
    lines += [
        "",
        "p50 to p99: token ids to outputs; text p50: text to answer, tokenisation included.",
        f"cold start: {1e3 * cold['seconds']:.0f} ms from the first import to the first answer,"
        f" {1e3 * (cold['seconds'] - cold['runtime_seconds']):.0f} ms of them beyond the bare runtime's",
    ]
    if cold["peak_bytes"]:
        beyond = cold["peak_bytes"] - cold["imports_peak_bytes"]
        lines.append(
            f"peak memory: {cold['peak_bytes'] / 1e6:.0f} MB, {beyond / 1e6:.0f} MB of them beyond the libraries'"
        )
    for part in report.get("profile", ()):
        lines += ["", profile.table(part)]
    return "\n".join(lines)


def _latency(model, length, runs):
    text, pair = _text_of(model, length)
    encoding = model.tokenizer.encode(text, pair)
    calls = _time(lambda: model.engine.run_encoding(encoding), runs)
    texts = _time(lambda: model(text, pair), runs)
    return {
        "tokens": len(encoding),
        "p50": _quantile(calls, 0.5),
        "p90": _quantile(calls, 0.9),
        "p99": _quantile(calls, 0.99),
        "text_p50": _quantile(texts, 0.5),
    }


def _text_of(model, length):
    """(text, pair or None) of as many tokens as `length` allows, in the form that the model's task takes."""
    word = "a"
    if model.task == "masked_lm":
        word = next(token for token in MASK_TOKENS if model.tokenizer.backend.token_to_id(token) is not None)
    best = None
    for count in range(length):
        text = " ".join([word] + ["a"] * count)
        sample = (word, text) if model.task == "question_answering" else (text, None)
        if best and len(model.tokenizer.encode(*sample)) > length:
            break
        best = sample
    return best


def _time(call, runs):
    for _ in range(WARM_UP_RUNS):
        call()
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)


def _quantile(ordered, fraction):
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


def _cold_start(path, threads, count, text, pair):
    """Medians over fresh processes, the kinds in turn."""
    results: dict[str, list] = {"imports": [], "runtime": [], "edge": []}
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    search = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
    for _ in range(count):
        for mode, found in results.items():
            command = [sys.executable, "-c", COLD_START, mode, os.path.abspath(path), str(threads), text, pair or ""]
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=False,
                env={**os.environ, "PYTHONPATH": search},
            )
            if done.returncode:
                raise EdgeError(f"a fresh process could not run {path} (exit status {done.returncode})")
            found.append(json.loads(done.stdout))
    seconds = {mode: statistics.median(row[0] for row in rows) for mode, rows in results.items()}
    peaks = {mode: rows[0][1] for mode, rows in results.items()}
    return {
        "seconds": seconds["edge"],
        "runtime_seconds": seconds["runtime"],
        "peak_bytes": peaks["edge"],
        "imports_peak_bytes": peaks["imports"],
    }
