"""Google's TF1 directories: `bert_model.ckpt.*` (or `model.ckpt-best.*`) and `bert_config.json`."""

from __future__ import annotations

import pathlib
import threading

import numpy as np

from ..errors import CheckpointError
from .config_json import parse_config, read_json
from .names import TF1
from .source import Checkpoint

_CONFIGS = ("bert_config.json", "albert_config.json")


def is_tf1(path: pathlib.Path) -> bool:
    """Whether the directory holds a TF1 checkpoint."""
    return any(path.glob("*.ckpt*.index"))


def open_tf1(path: pathlib.Path) -> Checkpoint:
    """Open a directory; tensors are read when asked for.

    Raises:
        CheckpointError: a file is missing or broken, several checkpoints lie there, or the family has no TF1 format.
    """
    import tensorflow as tf

    indices = sorted(path.glob("*.ckpt*.index"))
    if len(indices) != 1:
        raise CheckpointError(f"{path}: expected one checkpoint, found {', '.join(index.name for index in indices)}")
    config_file = next((path / name for name in _CONFIGS if (path / name).exists()), path / _CONFIGS[0])
    raw = read_json(config_file)
    family, config = parse_config(raw, config_file)
    if family.tf1 is None:
        raise CheckpointError(f"{path}: {family.name} has no TF1 checkpoints")
    # The reader passes C++ errors on in Python's own classes; a file cut short is an IndexError.
    broken = (tf.errors.OpError, ValueError, RuntimeError, IndexError)
    prefix = str(indices[0]).removesuffix(".index")
    try:
        reader = tf.train.load_checkpoint(prefix)
        shapes = reader.get_variable_to_shape_map()
    except broken as error:
        raise CheckpointError(f"{prefix} cannot be read: {error}") from error

    one_at_a_time = threading.Lock()  # TensorFlow's reader keeps its place in the file

    def read(name: str) -> np.ndarray:
        try:
            with one_at_a_time:
                return reader.get_tensor(name)
        except broken as error:
            raise CheckpointError(f"{prefix}: tensor {name} cannot be read: {error}") from error

    tensors = {name.removeprefix(family.tf1.prefix): name for name in shapes}
    return Checkpoint(path, raw, family, config, family.tf1, TF1, tensors, lambda name: tuple(shapes[name]), read)
