"""ONNX Runtime, float and dynamic int8, in the builds that its documentation offers and one that it does not.

Variants: the graph as exported or fused ahead by `onnxruntime.transformers.optimizer` (Attention,
SkipLayerNormalization, EmbedLayerNormalization); with the attention mask or without; weights per tensor or per channel,
signed or unsigned. All run with every graph optimisation on; `no SkipLayerNormFusion` turns one of them off, because on
some processors the fused kernel is slower than what it replaces. Tried and never quicker: reduce_range, symmetric
activations, 8-bit MatMulNBits, the MultiHeadAttention operator, io-binding, tanh GELU, other optimisation levels.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .contest import Contestant, Run, model_inputs
from .shapes import SHAPES, random_weights

FLOAT, INT8, INT8_TUNED = "onnxruntime float", "onnxruntime int8", "onnxruntime int8, a fusion turned off"


@dataclass(frozen=True)
class Variant:
    """One build: graph form and, for int8, how `quantize_dynamic` is called."""

    fused: bool = False
    mask: bool = True
    weights: str = "float"
    per_channel: bool = False
    disabled: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The group that the variant competes in; what no documentation advises is a group of its own."""
        if self.weights == "float":
            return FLOAT
        return INT8_TUNED if self.disabled else INT8

    @property
    def name(self) -> str:
        """The options that are not the usual ones, in words."""
        parts = ["fused" if self.fused else "exported", "mask" if self.mask else "no mask"]
        if self.weights != "float":
            parts += [self.weights, "per channel" if self.per_channel else "per tensor"]
        return ", ".join([*parts, *(f"no {name}" for name in self.disabled)])

    @property
    def file_name(self) -> str:
        """Name of the .onnx file; variants that differ only at run time share it."""
        parts = ["fused" if self.fused else "exported", "mask" if self.mask else "nomask", self.weights]
        return "_".join([*parts, *(["channel"] if self.per_channel else [])]) + ".onnx"


_UNFUSED_NORM = ("SkipLayerNormFusion",)
VARIANTS = (
    Variant(),
    Variant(mask=False),
    Variant(fused=True),
    Variant(fused=True, mask=False),
    Variant(weights="QInt8"),
    Variant(weights="QInt8", mask=False),
    Variant(weights="QInt8", per_channel=True),
    Variant(weights="QInt8", fused=True),
    Variant(weights="QInt8", fused=True, mask=False),
    Variant(weights="QInt8", fused=True, mask=False, per_channel=True),
    Variant(weights="QUInt8"),
    Variant(weights="QInt8", disabled=_UNFUSED_NORM),
    Variant(weights="QInt8", mask=False, disabled=_UNFUSED_NORM),
    Variant(weights="QInt8", mask=False, per_channel=True, disabled=_UNFUSED_NORM),
)


def build(shape_name: str, directory: Path) -> None:
    """Write the .onnx file of every variant into `directory`; files already there are kept."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    from .onnx_graph import build_classifier

    logging.disable(logging.WARNING)
    shape, weights = SHAPES[shape_name], None
    for variant in sorted(VARIANTS, key=lambda variant: (variant.weights != "float", variant.fused)):
        target = directory / variant.file_name
        if target.exists():
            continue
        temporary = target.with_suffix(".tmp")
        if variant.weights == "float" and not variant.fused:
            weights = weights or random_weights(shape)
            onnx.save(build_classifier(shape, weights, variant.mask), temporary)
        elif variant.weights == "float":
            source = directory / Variant(mask=variant.mask).file_name
            fused = optimizer.optimize_model(
                str(source), "bert", num_heads=shape.num_heads, hidden_size=shape.hidden_size, opt_level=0
            )
            if fused.get_fused_operator_statistics()["Attention"] != shape.num_layers:
                raise RuntimeError("onnxruntime.transformers did not fuse the attention of every layer")
            fused.save_model_to_file(str(temporary))
        else:
            source = directory / Variant(fused=variant.fused, mask=variant.mask).file_name
            quantize_dynamic(
                source,
                temporary,
                per_channel=variant.per_channel,
                weight_type=QuantType[variant.weights],
                extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
            )
        temporary.rename(target)


def open_session(directory: Path, variant: Variant, threads: int) -> Any:
    """The variant's file as an `onnxruntime.InferenceSession` on `threads` threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # Threads may spin inside a call as ever, but not on into the turn of the next contestant.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(
        str(directory / variant.file_name),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=list(variant.disabled),
    )


def contestants(directory: Path, threads: int) -> list[Contestant]:
    """Every variant as a session on `threads` threads."""

    def contestant(variant: Variant) -> Contestant:
        session = open_session(directory, variant, threads)
        names = [value.name for value in session.get_inputs()]

        def prepare(length: int) -> Run:
            inputs = model_inputs(length)
            feed: dict[str, np.ndarray] = {name: inputs[name] for name in names}
            return lambda: session.run(None, feed)

        return Contestant(variant.group, variant.name, prepare)

    return [contestant(variant) for variant in VARIANTS]
