"""Texts in, labels out: our runner as a program uses it, on real texts of real lengths.

- mix: one text after the other. Held against ONNX Runtime's dynamic int8 behind the same tokenizer, padded to 128
  tokens as is usual (the quickest of its documented builds, and of those with a fusion turned off), and against the
  same without padding.
- list: `model(list_of_256)` against one by one, by one interpreter and as it comes, by one a processor.
- overhead: token ids to outputs in the runner against the bare interpreter, at 20 tokens.
- cold: from the first import to the first answer, in fresh processes.

Weights are random; latency does not depend on them. Contestants take turns every 32 texts, long enough for a model's
weights to be in the cache as they are in a program that runs it alone, and ratios are of the same texts. TEXTS is a
.csv or .tsv file with a header, texts in the first column, or a .txt file, one text a line.

Example:
    python benchmarks/edge_texts.py TEXTS --vocab vocab.txt --work-dir built --json texts.json
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from edge_latency import in_new_process
from peers import ONNX, missing, onnx_runtime
from peers.contest import CLOCKS
from peers.shapes import SHAPES
from report import machine_facts, print_table, write_json

PARTS = ("mix", "list", "overhead", "cold")
PADDED = 128
TURN = 32  # texts that a contestant answers before the next one's turn
OVERHEAD_TOKENS = 20
PACKAGES = ("keras-bert-edge", "ai-edge-litert", "onnxruntime", "tokenizers", "numpy")
TARGETS = {"mix": 8.0, "list": 1.5, "overhead": 0.25, "cold": 500.0}

Answer = Callable[[str], Any]


def build(shape_name: str, directory: Path, vocab: Path) -> None:
    """Our files and ONNX Runtime's."""
    from peers.exported import build

    build(shape_name, directory, vocab)
    if not missing(ONNX):
        onnx_runtime.build(shape_name, directory)


def read_texts(path: Path, count: int) -> list[str]:
    """`count` texts drawn from the file, always the same ones."""
    with open(path, encoding="utf-8", newline="") as stream:
        if path.suffix == ".txt":
            texts = [line.rstrip("\r\n") for line in stream]
        elif path.suffix == ".csv":
            texts = [row[0] for row in csv.reader(stream)][1:]
        else:
            texts = [row[0] for row in csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE) if row][1:]
    if len(texts) < count:
        raise SystemExit(f"error: {path} has {len(texts)} texts, and {count} were asked for")
    return random.Random(0).sample(texts, count)


def onnx_answers(directory: Path, vocab: Path, threads: int) -> dict[str, dict[str, Answer]]:
    """Text to label on ONNX Runtime's int8 builds: group -> variant -> call."""
    from tokenizers import BertWordPieceTokenizer

    def answer_with(variant: onnx_runtime.Variant, padded: bool) -> Answer:
        tokenizer = BertWordPieceTokenizer(str(vocab))
        tokenizer.enable_truncation(PADDED)
        if padded:
            tokenizer.enable_padding(length=PADDED)
        session = onnx_runtime.open_session(directory, variant, threads)
        names = {value.name for value in session.get_inputs()}

        def answer(text: str) -> int:
            encoding = tokenizer.encode(text)
            feed = {"input_ids": encoding.ids, "token_type_ids": encoding.type_ids}
            if "attention_mask" in names:
                feed["attention_mask"] = encoding.attention_mask
            logits = session.run(None, {name: np.array([value], np.int64) for name, value in feed.items()})[0][0]
            scores = np.exp(logits - logits.max())
            return int((scores / scores.sum()).argmax())

        return answer

    found: dict[str, dict[str, Answer]] = {}
    for padded in (True, False):
        for variant in onnx_runtime.VARIANTS:
            if variant.weights == "float" or (padded and not variant.mask):
                continue
            group = f"{variant.group}, {f'padded to {PADDED}' if padded else 'exact length'}"
            found.setdefault(group, {})[variant.name] = answer_with(variant, padded)
    return found


def in_turns(calls: dict[str, Answer], texts: list[str], clock: Callable[[], float]) -> dict[str, float]:
    """Milliseconds a text of each call over all texts."""
    seconds = dict.fromkeys(calls, 0.0)
    for at in range(0, len(texts), TURN):
        for name, call in calls.items():
            began = clock()
            for text in texts[at : at + TURN]:
                call(text)
            seconds[name] += clock() - began
    return {name: 1000 * total / len(texts) for name, total in seconds.items()}


def mix(path: Path, texts: list[str], arguments: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Milliseconds a text one by one, and the ratios of ONNX Runtime's to ours."""
    import keras_bert_edge

    clock = CLOCKS[arguments.clock]
    chosen: dict[str, Answer] = {"keras-bert-edge": keras_bert_edge.load(path, threads=threads)}
    if not missing(ONNX):
        for group, variants in onnx_answers(path.parent, arguments.vocab, threads).items():
            in_turns(variants, texts[:TURN], clock)
            quickest = in_turns(variants, texts[: 2 * TURN], clock)
            best = min(quickest, key=quickest.__getitem__)
            chosen[f"{group} ({best})"] = variants[best]
    in_turns(chosen, texts[:TURN], clock)
    rounds = [in_turns(chosen, texts, clock) for _ in range(arguments.rounds)]
    ours = "keras-bert-edge"
    rows = []
    for name in chosen:
        milliseconds = statistics.median(row[name] for row in rounds)
        ratio = statistics.median(row[name] / row[ours] for row in rounds)
        rows.append({"runner": name, "ms_a_text": milliseconds, "times_ours": ratio})
    print_table(
        f"text to label, {len(texts)} texts one by one, {threads} thread(s); target: {TARGETS['mix']:g} times padded",
        ["runner", "ms a text", "texts/s", "its time / ours"],
        [
            [row["runner"], f"{row['ms_a_text']:.3f}", f"{1000 / row['ms_a_text']:.1f}", f"{row['times_ours']:.2f}"]
            for row in rows
        ],
    )
    return {"part": "mix", "threads": threads, "rows": rows}


def in_lists(path: Path, texts: list[str], arguments: argparse.Namespace, threads: int) -> dict[str, Any]:
    """How many times as many texts a second a list gives as its texts one by one."""
    import keras_bert_edge

    alone = keras_bert_edge.load(path, threads=threads, workers=1)
    ways: dict[str, Callable[[], object]] = {
        "one by one": lambda: [alone(text) for text in texts],
        "a list, workers=1": lambda: alone(texts),
    }
    if arguments.clock == "wall":  # processor time adds up what workers do side by side
        shared = keras_bert_edge.load(path, threads=threads)
        ways["a list"] = lambda: shared(texts)
    clock = CLOCKS[arguments.clock]
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for call in ways.values():
        call()
    for _ in range(arguments.rounds):
        for name, call in ways.items():
            began = clock()
            call()
            seconds[name].append(clock() - began)
    rows = []
    for name, times in seconds.items():
        ratios = [one / other for one, other in zip(seconds["one by one"], times, strict=True)]
        rows.append(
            {"way": name, "texts_a_second": len(texts) / statistics.median(times), "ratio": statistics.median(ratios)}
        )
    print_table(
        f"a list of {len(texts)} texts, {path.stem}, {threads} thread(s); target: {TARGETS['list']:g} times one by one",
        ["way", "texts/s", "times one by one"],
        [[row["way"], f"{row['texts_a_second']:.1f}", f"{row['ratio']:.2f}"] for row in rows],
    )
    return {"part": "list", "file": path.name, "threads": threads, "rows": rows}


def overhead(path: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds that the runner adds to the bare interpreter for token ids, and for a text of as many tokens."""
    import keras_bert_edge
    from ai_edge_litert.interpreter import Interpreter

    model = keras_bert_edge.load(path)
    text = " ".join(["the"] * (OVERHEAD_TOKENS - 2))
    encoding = model.tokenizer.encode(text)
    ids, segments = np.array([encoding.ids], np.int32), np.array([encoding.type_ids], np.int32)
    interpreter = Interpreter(str(path), num_threads=1)
    indices = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    for index in indices.values():
        interpreter.resize_tensor_input(index, ids.shape)
    interpreter.allocate_tensors()
    output = interpreter.get_output_details()[0]["index"]

    def bare() -> None:
        interpreter.set_tensor(indices["token_ids"], ids)
        interpreter.set_tensor(indices["segment_ids"], segments)
        interpreter.invoke()
        interpreter.get_tensor(output)

    ways = {
        "bare": bare,
        "runner, ids": lambda: model.engine.run_encoding(encoding),
        "runner, text": lambda: model(text),
    }
    clock = CLOCKS[arguments.clock]
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(50 * arguments.rounds):
        for name, call in ways.items():
            began = clock()
            call()
            times[name].append(1000 * (clock() - began))
    row: dict[str, Any] = {"part": "overhead", "tokens": len(encoding), "bare_ms": statistics.median(times["bare"])}
    for name in ("runner, ids", "runner, text"):
        row[name] = statistics.median(a - b for a, b in zip(times[name], times["bare"], strict=True))
    print(
        f"runner at {row['tokens']} tokens: {row['runner, ids']:+.3f} ms for ids (target {TARGETS['overhead']:g}),"
        f" {row['runner, text']:+.3f} ms for a text, beyond the bare interpreter's {row['bare_ms']:.3f} (medians)"
    )
    return row


def cold(path: Path) -> dict[str, Any]:
    """Milliseconds from the first import to the first answer."""
    from keras_bert_edge import bench

    found = bench.measure(path, lengths=[OVERHEAD_TOKENS], runs=1, cold_starts=9)["cold_start"]
    row = {"part": "cold", "ms": 1000 * found["seconds"], "bare_runtime_ms": 1000 * found["runtime_seconds"]}
    print(
        f"cold start: {row['ms']:.0f} ms, bare runtime and model {row['bare_runtime_ms']:.0f} ms (medians of 9; target"
        f" {TARGETS['cold']:g})"
    )
    return row


def main() -> None:
    """Build what is missing, run the parts, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, metavar="TEXTS")
    parser.add_argument("--vocab", type=Path, required=True, help="vocab.txt of the shape's vocabulary size")
    parser.add_argument("--shape", choices=SHAPES, default="minilm_l6")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--count", type=int, default=256, help="texts (default 256)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: for busy machines, one thread only")
    parser.add_argument("--work-dir", type=Path, required=True, help="keep the built files here")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    arguments = parser.parse_args()
    if arguments.clock == "cpu" and arguments.threads != [1]:
        parser.error("--clock cpu adds up all threads: use it with --threads 1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    directory = arguments.work_dir / arguments.shape
    directory.mkdir(parents=True, exist_ok=True)
    files = [directory / f"ours_{recipe}.tflite" for recipe in ("dynamic_int8", "float32")]
    if not all(path.exists() and reads_with(path, arguments.vocab) for path in files):
        in_new_process(build, arguments.shape, directory, arguments.vocab)
    facts = machine_facts(PACKAGES)
    texts = read_texts(arguments.texts, arguments.count)
    lengths = token_counts(files[0], texts)
    print(
        f"{facts['processor']}, {facts['cores']} cores, {' '.join(facts['flags'])}, load"
        f" {facts['load_average'][0]:.1f}; {arguments.shape}; {len(texts)} texts of"
        f" {statistics.mean(lengths):.1f} tokens on average"
    )
    results = []
    for threads in arguments.threads:
        if "mix" in arguments.parts:
            results.append(mix(files[0], texts, arguments, threads))
        if "list" in arguments.parts:
            results += [in_lists(path, texts, arguments, threads) for path in files]
    if "overhead" in arguments.parts:
        results.append(overhead(files[0], arguments))
    if "cold" in arguments.parts:
        results.append(cold(files[0]))
    if arguments.json:
        content = {"machine": facts, "shape": arguments.shape, "clock": arguments.clock, "tokens": lengths}
        write_json(arguments.json, {**content, "targets": TARGETS, "results": results})


def reads_with(path: Path, vocab: Path) -> bool:
    """Whether a file has this vocabulary: edge_latency.py leaves files of single characters in the same folder."""
    import keras_bert_edge

    found = keras_bert_edge.load(path).tokenizer.backend.get_vocab()
    return sorted(found, key=found.__getitem__) == vocab.read_text("utf-8").rstrip("\n").split("\n")


def token_counts(path: Path, texts: list[str]) -> list[int]:
    """Tokens of each text, special ones included."""
    import keras_bert_edge

    tokenizer = keras_bert_edge.load(path).tokenizer
    return [len(tokenizer.encode(text)) for text in texts]


if __name__ == "__main__":
    main()
