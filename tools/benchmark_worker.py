"""One model file in one runtime, in a process of its own: `python benchmark_worker.py RUNTIME FILE THREADS LENGTH`.

The first answer, which ends the cold start, is to LENGTH tokens. Answers requests (one JSON a line: `length` in tokens,
`runs`) with the seconds of each run and the peak memory. It imports nothing but the runtime and numpy, so that cold
start and memory are the runtime's.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

# File suffix -> name of a runtime -> the module that it needs.
RUNTIMES = {
    ".tflite": {"litert": "ai_edge_litert"},
    ".onnx": {"onnxruntime": "onnxruntime", "openvino": "openvino"},
}
_TOKEN = 4  # any id that every vocabulary has

Call = Callable[[], Any]


def summary(tokens: int, seconds: Sequence[float]) -> dict[str, float]:
    """Quantiles of the runs of one length, in seconds, and tokens a second at the median."""
    ordered = sorted(seconds)
    p50, p90, p99 = (ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in (0.5, 0.9, 0.99))
    return {"tokens": tokens, "p50": p50, "p90": p90, "p99": p99, "tokens_per_second": tokens / p50}


def open_litert(path: str, threads: int) -> Callable[[int], Call]:
    """A .tflite file: its signature of dynamic length, resized, or the smallest of its fixed lengths that fits."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=os.fsencode(path), num_threads=threads)
    details = interpreter.get_input_details()
    return (_any_length if all(-1 in one["shape_signature"] for one in details) else _fixed_lengths)(interpreter)


def _any_length(interpreter: Any) -> Callable[[int], Call]:
    details = interpreter.get_input_details()

    def prepare(length: int) -> Call:
        for one in details:
            interpreter.resize_tensor_input(one["index"], [1, length])
        interpreter.allocate_tensors()
        for one in details:
            name = one["name"].rpartition(":")[0] or one["name"]
            interpreter.set_tensor(one["index"], _litert_input(name, length, length))
        return interpreter.invoke

    return prepare


def _fixed_lengths(interpreter: Any) -> Callable[[int], Call]:
    runners = [interpreter.get_signature_runner(key) for key in interpreter.get_signature_list()]
    shapes = [{name: one["shape"].tolist() for name, one in runner.get_input_details().items()} for runner in runners]
    by_size = sorted((next(iter(inputs.values()))[1], index) for index, inputs in enumerate(shapes))

    def prepare(length: int) -> Call:
        fitting = [(size, index) for size, index in by_size if length <= size]
        if not fitting:
            raise ValueError(f"the file has fixed lengths up to {by_size[-1][0]} tokens, and {length} were asked for")
        size, index = fitting[0]
        feed = {name: _litert_input(name, length, size) for name in shapes[index]}
        return lambda: runners[index](**feed)

    return prepare


def _litert_input(name: str, length: int, size: int) -> Any:
    """int32 [1, size] for an input by its name: `length` token ids, the rest padding; a mask; segments of zeros."""
    import numpy as np

    value = np.zeros((1, size), np.int32)
    value[:, :length] = 0 if "segment" in name else 1 if "mask" in name else _TOKEN
    return value


def open_onnxruntime(path: str, threads: int) -> Callable[[int], Call]:
    """An .onnx file in ONNX Runtime on the CPU, one thread pool of `threads`."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    # Threads that spin between calls would take the cores from the other contestants' turns.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    names = {one.name: "int32" if "int32" in one.type else "int64" for one in session.get_inputs()}

    def prepare(length: int) -> Call:
        feed = onnx_inputs(names, length)
        return lambda: session.run(None, feed)

    return prepare


def open_openvino(path: str, threads: int) -> Callable[[int], Call]:
    """An .onnx file in OpenVINO, compiled for latency."""
    import openvino

    core = openvino.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    compiled = core.compile_model(core.read_model(path), "CPU", settings)
    request = compiled.create_infer_request()
    names = {one.any_name: "int32" if "32" in str(one.element_type) else "int64" for one in compiled.inputs}

    def prepare(length: int) -> Call:
        feed = onnx_inputs(names, length)
        return lambda: request.infer(feed, share_inputs=True, share_outputs=True)

    return prepare


def onnx_inputs(names: dict[str, str], length: int) -> dict[str, Any]:
    """Arrays [1, length] for inputs by name: a mask of ones, segments of zeros, token ids."""
    import numpy as np

    values = {name: 1 if "mask" in name else 0 if "type" in name or "segment" in name else _TOKEN for name in names}
    return {name: np.full((1, length), values[name], dtype) for name, dtype in names.items()}


def _peak_bytes() -> int | None:
    """Linux alone tells the peak of this very program."""
    try:
        with open("/proc/self/status") as status:
            return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    except OSError:
        return None


def main() -> None:
    """Serve until standard input ends."""
    runtime, path, threads, first_length = sys.argv[1:]
    began = time.perf_counter()
    prepare = {"litert": open_litert, "onnxruntime": open_onnxruntime, "openvino": open_openvino}[runtime](
        path, int(threads)
    )
    prepare(int(first_length))()
    print(json.dumps({"cold_start": time.perf_counter() - began}), flush=True)
    length, call = 0, None
    for line in sys.stdin:
        request = json.loads(line)
        seconds = []
        if request["runs"]:
            if request["length"] != length or call is None:
                length, call = request["length"], prepare(request["length"])
                for _ in range(3):
                    call()
            call()  # after the others' turn: caches and clocks come back
            for _ in range(request["runs"]):
                start = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - start)
        print(json.dumps({"seconds": seconds, "peak_bytes": _peak_bytes()}), flush=True)


if __name__ == "__main__":
    main()
