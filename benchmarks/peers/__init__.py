"""What keras_bert is measured against: other builds of the same network, each behind one call that runs a text."""

import importlib.util
from collections.abc import Iterable

# What builds and runs a peer; OpenVINO's files are made from ONNX Runtime's, and quantised by nncf.
ONNX, OPENVINO = ("onnx", "onnxruntime"), ("openvino", "nncf")


def missing(modules: Iterable[str]) -> list[str]:
    """Those that cannot be imported."""
    return [module for module in modules if importlib.util.find_spec(module) is None]
