"""quantization.safetensors beside a checkpoint that was trained for integers: ranges and scales of its dense layers.

Other programs read the checkpoint without it. Each tensor is called by its layer and its variable in `FakeQuantizer`;
the metadata hold each layer's `QuantizationSpec`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import safetensors
from safetensors.numpy import save_file

from ..errors import CheckpointError, ConfigError
from ..layers import FakeQuantizer, QuantizationSpec
from ..models.quantization import dense_layers

QUANTIZATION = "quantization.safetensors"
_SPECS = "keras_bert.quantization"


def write_quantization(path: pathlib.Path, found: Mapping[str, FakeQuantizer]) -> None:
    """Write what a model's dense layers round by, its `quantizers`; nothing where none does."""
    if not found:
        return
    tensors = {
        f"{name}.{variable.name}": np.ascontiguousarray(keras.ops.convert_to_numpy(variable.value), np.float32)
        for name, quantizer in found.items()
        for variable in quantizer.weights
    }
    specs = {name: dataclasses.asdict(quantizer.spec) for name, quantizer in found.items()}
    save_file(tensors, path / QUANTIZATION, metadata={_SPECS: json.dumps(specs)})


def has_quantization(path: str | os.PathLike[str]) -> bool:
    """Whether the checkpoint was trained for integers."""
    return (pathlib.Path(path) / QUANTIZATION).exists()


def load_quantization(model: Any, path: str | os.PathLike[str]) -> None:
    """Let the dense layers of a task model round as the checkpoint at `path` was trained to.

    Raises:
        CheckpointError: the file cannot be read, or is of another model.
    """
    file = pathlib.Path(path) / QUANTIZATION
    try:
        with safetensors.safe_open(file, "numpy") as opened:
            specs = json.loads((opened.metadata() or {}).get(_SPECS, "null"))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"cannot read {file}: {error}") from error
    layers = dense_layers(model)
    if not isinstance(specs, dict) or not set(specs) <= set(layers):
        raise CheckpointError(f"{file} is not of this model: expected ranges of {', '.join(layers)}")
    for name, spec in specs.items():
        try:
            quantizer = layers[name].enable_fake_quantization(QuantizationSpec(**spec))
        except (TypeError, ConfigError) as error:
            raise CheckpointError(f"{file}: {name}: {error}") from error
        for variable in quantizer.weights:
            values = tensors.get(f"{name}.{variable.name}")
            if values is None or values.shape != tuple(variable.shape):
                raise CheckpointError(f"{file}: {name}.{variable.name} is missing or has another shape")
            variable.assign(values)
