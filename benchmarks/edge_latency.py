"""Latency of our exported classifiers against other runtimes and other builds, at batch 1, interleaved in one run.

Ours run on the bare LiteRT interpreter, so that no peer pays for a tokenizer or a wrapper that another has not. Held
against: ONNX Runtime float and int8 and OpenVINO (the quickest of many builds of each at every length, see peers/), the
same encoder on `keras.layers.MultiHeadAttention`, and the encoder's matrix products alone, the floor of the runtime.
Weights are random; latency does not depend on them. Files are built once into the work folder (2 GB for both shapes).

The peers need benchmarks/requirements.txt; a peer that is not installed is left out and said so.

Example:
    python benchmarks/edge_latency.py --shapes minilm_l6 --threads 1 --lengths 20 128 --json latency.json
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from pathlib import Path
from typing import Any

from peers import ONNX, OPENVINO, litert, missing, onnx_runtime, openvino_runtime
from peers.contest import CLOCKS, Contestant, hold
from peers.shapes import SHAPES
from report import machine_facts, print_table, write_json

LENGTHS = (16, 20, 32, 64, 128)
PACKAGES = ("ai-edge-litert", "onnxruntime", "openvino", "nncf", "tensorflow", "keras", "numpy")

OURS = "ours int8"
OURS_FLOAT = "ours float"
ATTENTION = "keras MultiHeadAttention int8"
ATTENTION_STATIC = "keras MultiHeadAttention int8, static"
FLOOR = "matrix products alone int8"
ALL_ROWS = f"{FLOOR}, all rows"
# What the project aims at for ours / group, by length: MiniLM-L6 and BERT-base, one thread and two.
TARGETS = {
    onnx_runtime.INT8: {20: 0.42, 128: 0.45},
    onnx_runtime.INT8_TUNED: {20: 0.42, 128: 0.45},
    **{group: {20: 1.0, 32: 1.0, 128: 1.0} for group in openvino_runtime.GROUPS},
    ATTENTION: dict.fromkeys(LENGTHS, 1 / 1.15),
    FLOOR: {128: 1.5},
}


def build_ours(shape_name: str, directory: Path) -> None:
    """Export a randomly started classifier of the toolkit in float32 and dynamic_int8."""
    from peers.exported import build

    build(shape_name, directory)


def build_keras_peers(shape_name: str, directory: Path, lengths: tuple[int, ...]) -> None:
    """Convert the MultiHeadAttention encoder and the matrix products, where they are not there yet."""
    from peers.tflite_graphs import build_attention_peer, build_matrix_products

    for length in (None, *lengths):
        path = directory / attention_file(length)
        if not path.exists():
            build_attention_peer(shape_name, path, int8=True, length=length)
    for name, first_token_only in (("products.tflite", False), ("products_first_token.tflite", True)):
        if not (directory / name).exists():
            build_matrix_products(shape_name, directory / name, int8=True, first_token_only=first_token_only)


def attention_file(length: int | None) -> str:
    """Name of the MultiHeadAttention file of a static length, or the dynamic one."""
    return "attention.tflite" if length is None else f"attention_{length}.tflite"


def in_new_process(function: Any, *arguments: Any) -> None:
    """Run a builder in a process of its own, so that its threads and memory are gone before anything is timed."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"error: building the peers failed in {function.__name__}")


def build_all(shape_name: str, directory: Path, arguments: argparse.Namespace) -> None:
    """Write every file that the run needs into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    if arguments.ours is None:
        in_new_process(build_ours, shape_name, directory)
    in_new_process(build_keras_peers, shape_name, directory, tuple(arguments.lengths))
    if not missing(ONNX):
        in_new_process(onnx_runtime.build, shape_name, directory)
        if not missing(OPENVINO):
            in_new_process(openvino_runtime.build, directory)


def contestants_at(directory: Path, threads: int, arguments: argparse.Namespace) -> dict[str, list[Contestant]]:
    """All builds by where they come from; the static MultiHeadAttention files are told apart by their length."""
    everyone: dict[str, list[Contestant]] = {"ours": [], "onnxruntime": [], "openvino": []}
    if arguments.ours is None:
        everyone["ours"] = [
            litert.contestant(OURS, "dynamic_int8", directory / "ours_dynamic_int8.tflite", threads),
            litert.contestant(OURS_FLOAT, "float32", directory / "ours_float32.tflite", threads),
        ]
    else:
        everyone["ours"] = [litert.contestant(OURS, path.name, path, threads) for path in arguments.ours]
    everyone["keras"] = [litert.contestant(ATTENTION, "dynamic length", directory / attention_file(None), threads)]
    for file_name, variant in (("products.tflite", "all rows"), ("products_first_token.tflite", "as a classifier")):
        group = FLOOR if file_name == "products_first_token.tflite" else ALL_ROWS
        everyone["keras"].append(litert.contestant(group, variant, directory / file_name, threads))
    if not missing(ONNX):
        everyone["onnxruntime"] = onnx_runtime.contestants(directory, threads)
        if not missing(OPENVINO):
            everyone["openvino"] = openvino_runtime.contestants(directory, threads)
    return everyone


def run_shape(shape_name: str, threads: int, directory: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Time all builds of one shape at every length; print a table a length and return the rows."""
    everyone = [one for group in contestants_at(directory, threads, arguments).values() for one in group]
    rows = []
    for length in arguments.lengths:
        static = litert.contestant(ATTENTION_STATIC, f"length {length}", directory / attention_file(length), threads)
        results = hold([*everyone, static], length, arguments.rounds, arguments.qualifying_rounds, arguments.clock)
        ours = next(result for result in results if result.contestant.group == OURS)
        table, seen = [], set()
        for result in results:
            group, variant = result.contestant.group, result.contestant.variant
            ratio, quiet_ratio = ours.median / result.median, ours.tenth / result.tenth
            best = group not in seen
            seen.add(group)
            target = TARGETS.get(group, {}).get(length) if best else None
            verdict = "" if target is None else f"<= {target:.2f} {'met' if ratio <= target else 'MISSED'}"
            row = {"shape": shape_name, "threads": threads, "length": length, "group": group, "variant": variant}
            row |= {"median_ms": result.median, "tenth_percentile_ms": result.tenth, "best_of_group": best}
            row |= {"ours_over_this": ratio, "ours_over_this_tenth_percentile": quiet_ratio, "target": target}
            rows.append(row)
            times = [f"{result.median:.3f}", f"{result.tenth:.3f}"]
            table.append([group, variant, *times, f"{ratio:.3f}", f"{quiet_ratio:.3f}", verdict])
        header = ["build", "variant", "median ms", "10% ms", "ours / this", "at 10%", "target"]
        print_table(f"{shape_name}, {length} tokens, {threads} thread(s)", header, table)
    return rows


def main() -> None:
    """Build what is missing, run every shape and thread count, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS), help="tokens a text")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=40, help="final rounds of 3 timed calls each (default 40)")
    parser.add_argument("--qualifying-rounds", type=int, default=8, help="rounds that choose the finalists (default 8)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: for busy machines, one thread only")
    parser.add_argument("--ours", nargs="+", type=Path, help=".tflite files to time instead of a fresh export")
    parser.add_argument("--work-dir", type=Path, help="keep the built files here (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write all medians and ratios here")
    arguments = parser.parse_args()
    if arguments.ours and len(arguments.shapes) > 1:
        parser.error("--ours times files of one shape: name it with --shapes")
    if arguments.clock == "cpu" and arguments.threads != [1]:
        parser.error("--clock cpu adds up all threads: use it with --threads 1")

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    facts = machine_facts(PACKAGES)
    print(
        f"{facts['processor']}, {facts['cores']} cores, {' '.join(facts['flags'])}, load {facts['load_average'][0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        work_dir = arguments.work_dir or Path(temporary)
        rows: list[dict[str, Any]] = []
        for module in missing((*ONNX, *OPENVINO)):
            print(f"left out: {module} is not installed")
        for shape_name in arguments.shapes:
            build_all(shape_name, work_dir / shape_name, arguments)
            for threads in arguments.threads:
                rows += run_shape(shape_name, threads, work_dir / shape_name, arguments)
    if arguments.json:
        write_json(
            arguments.json, {"machine": facts, "rounds": arguments.rounds, "clock": arguments.clock, "results": rows}
        )


if __name__ == "__main__":
    main()
