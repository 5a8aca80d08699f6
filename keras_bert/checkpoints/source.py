"""A checkpoint as the loader sees it, whatever format it is stored in."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..config import EncoderConfig
from ..models.family import CheckpointNames, Family
from .config_json import architectures
from .names import Dialect


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint directory.

    Attributes:
        path: the directory. raw_config: its configuration file as read.
        family, config: what it is.
        names, dialect: how it spells its tensors.
        tensors: name without the family's prefix -> name as stored.
        shape: stored name -> shape. read: stored name -> array (read when called).
    """

    path: pathlib.Path
    raw_config: Mapping[str, Any]
    family: Family
    config: EncoderConfig
    names: CheckpointNames
    dialect: Dialect
    tensors: Mapping[str, str]
    shape: Callable[[str], tuple[int, ...]]
    read: Callable[[str], np.ndarray]

    @property
    def architecture(self) -> str | None:
        """The class the checkpoint says it was saved from."""
        return next(iter(architectures(self.raw_config)), None)
