"""OpenVINO: float32, bfloat16, int8 weights with dynamic activations (NNCF), and static int8 (NNCF).

All start from the exported ONNX graph without a mask, the quickest form. The int8 groups size 128 was the best of 32 to
384 at 20 and at 128 tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .contest import Contestant, Run, model_inputs

SOURCE = "exported_nomask_float.onnx"
DYNAMIC_INT8 = "openvino_dynamic_int8.xml"
STATIC_INT8 = "openvino_static_int8.xml"
INT8_GROUP_SIZE = "128"
CALIBRATION_TEXTS = 16

VARIANTS = (
    ("openvino float", SOURCE, "f32"),
    ("openvino bf16", SOURCE, "bf16"),
    ("openvino int8", DYNAMIC_INT8, "f32"),
    ("openvino int8", DYNAMIC_INT8, "bf16"),
    ("openvino int8", STATIC_INT8, "f32"),
    ("openvino int8", STATIC_INT8, "bf16"),
)

GROUPS = tuple(dict.fromkeys(group for group, _, _ in VARIANTS))


def build(directory: Path) -> None:
    """Write the int8 models beside the ONNX files of `peers.onnx_runtime.build`; files already there are kept."""
    import nncf
    import openvino

    logging.disable(logging.WARNING)

    def calibration() -> Iterator[dict[str, np.ndarray]]:
        for seed in range(CALIBRATION_TEXTS):
            inputs = model_inputs(20 + 4 * seed, seed)
            yield {name: inputs[name] for name in ("input_ids", "token_type_ids")}

    core = openvino.Core()
    if not (directory / DYNAMIC_INT8).exists():
        model = core.read_model(directory / SOURCE)
        model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
        openvino.save_model(model, directory / DYNAMIC_INT8, compress_to_fp16=False)
    if not (directory / STATIC_INT8).exists():
        model = core.read_model(directory / SOURCE)
        model = nncf.quantize(model, nncf.Dataset(list(calibration())), model_type=nncf.ModelType.TRANSFORMER)
        openvino.save_model(model, directory / STATIC_INT8, compress_to_fp16=False)


def contestants(directory: Path, threads: int) -> list[Contestant]:
    """Every variant whose file is there, compiled for latency on `threads` threads."""
    import openvino

    core = openvino.Core()

    def contestant(group: str, file_name: str, precision: str) -> Contestant:
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": precision,
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": INT8_GROUP_SIZE if file_name == DYNAMIC_INT8 else "0",
        }
        request = core.compile_model(core.read_model(directory / file_name), "CPU", settings).create_infer_request()

        def prepare(length: int) -> Run:
            inputs = model_inputs(length)
            feed = {name: inputs[name] for name in ("input_ids", "token_type_ids")}
            return lambda: request.infer(feed, share_inputs=True, share_outputs=True)

        return Contestant(group, f"{Path(file_name).stem}, {precision}", prepare)

    return [contestant(*variant) for variant in VARIANTS if (directory / variant[1]).exists()]
