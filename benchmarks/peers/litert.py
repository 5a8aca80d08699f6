"""Any .tflite file on the bare LiteRT interpreter (XNNPACK), as our edge runner uses it but for its tokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .contest import Contestant, Run, model_inputs


def contestant(group: str, variant: str, path: Path, threads: int) -> Contestant:
    """The file's `serving_default` inputs, resized to [1, length] before the timing starts.

    Inputs are known by the names of our files (`token_ids`, `segment_ids`, `padding_mask`); a file without int32
    inputs takes float32 activations [length, width].
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)

    def prepare(length: int) -> Run:
        inputs = model_inputs(length)
        details = interpreter.get_input_details()
        for detail in details:
            shape = [length if size == -1 else size for size in detail["shape_signature"]]
            interpreter.resize_tensor_input(detail["index"], shape)
        interpreter.allocate_tensors()
        generator = np.random.default_rng(0)
        feed = []
        for detail in interpreter.get_input_details():
            if detail["dtype"] == np.float32:
                value = generator.normal(size=detail["shape"]).astype(np.float32)
            else:
                value = next(value for name, value in inputs.items() if name in detail["name"]).astype(detail["dtype"])
            feed.append((detail["index"], value))
        outputs = [detail["index"] for detail in interpreter.get_output_details()]

        def run() -> list[np.ndarray]:
            for index, value in feed:
                interpreter.set_tensor(index, value)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in outputs]

        return run

    return Contestant(group, variant, prepare)
