"""Where each lane of the corpus is to go on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np


class Position(NamedTuple):
    """The next row of a lane.

    Attributes:
        epoch: pass over the lane's shards, from 0.
        shard_index: which of the lane's shards, in the order of that epoch.
        row: of that shard, in the order of that epoch. One past the last is the start of the next shard.
    """

    epoch: int = 0
    shard_index: int = 0
    row: int = 0


def next_positions(example_ids: Any) -> list[Position]:
    """The positions after the rows of one batch.

    Args:
        example_ids: int64 [rows, 4] of a batch: lane, epoch, shard_index, row.

    Returns:
        One position a lane that occurs, by ascending lane. For the ids of a global batch that is all lanes; workers
        hold consecutive lanes, so their lists, one after the other, are those of the global batch.
    """
    last: dict[int, Position] = {}
    for lane, epoch, shard_index, row in np.asarray(example_ids).tolist():
        last[lane] = max(last.get(lane, Position()), Position(epoch, shard_index, row + 1))
    return [last[lane] for lane in sorted(last)]


def as_positions(values: Iterable[Iterable[int]] | None, lanes: int) -> list[Position]:
    """Positions as given or read from JSON, one a lane; None is the beginning of the corpus.

    Raises:
        ValueError: another number of them, or a negative number.
    """
    positions = [Position()] * lanes if values is None else [Position(*map(int, value)) for value in values]
    if len(positions) != lanes:
        raise ValueError(f"expected one position a lane, {lanes} in all, got {len(positions)}")
    if any(min(position) < 0 for position in positions):
        raise ValueError(f"a position cannot be negative: {positions}")
    return positions
