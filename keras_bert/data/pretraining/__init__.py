"""Pretraining examples made from shards while training reads them: pairs, masks, packing, all in the graph."""

from .dataset import PretrainingData
from .errors import named_errors
from .positions import Position, next_positions
from .settings import MASKINGS, OBJECTIVES, PretrainingSettings

__all__ = [
    "MASKINGS",
    "OBJECTIVES",
    "Position",
    "PretrainingData",
    "PretrainingSettings",
    "named_errors",
    "next_positions",
]
