"""One safetensors file: the package checks the header, values are views of the mapped file."""

from __future__ import annotations

import json
import math
import mmap
import pathlib

import numpy as np
import safetensors

from ..errors import CheckpointError


class TensorFile:
    """An opened safetensors file.

    Attributes:
        names: its tensors.
    """

    def __init__(self, path: pathlib.Path) -> None:
        """
        Raises:
            CheckpointError: the file is missing or broken.
        """
        self.path = path
        try:
            self._file = safetensors.safe_open(str(path), framework="numpy")
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(size))
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (safetensors.SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error
        self.names: tuple[str, ...] = tuple(self._file.keys())
        self._entries = header
        self._start = 8 + size

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return tuple(self._entries[name]["shape"])

    def read(self, name: str) -> np.ndarray:
        """Values of a tensor, in the precision they are stored in; not to be written to.

        Raises:
            CheckpointError: they cannot be read.
        """
        try:
            if self._entries[name]["dtype"] != "F32":
                return self._file.get_tensor(name)
            # A view of the mapped file, where the package would copy.
            shape, start = self.shape(name), self._entries[name]["data_offsets"][0]
            size = math.prod(shape)
            if not size:
                return np.empty(shape, np.float32)
            return np.frombuffer(self._bytes, "<f4", size, self._start + start).reshape(shape)
        except (safetensors.SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{self.path}: tensor {name} cannot be read: {error}") from error
