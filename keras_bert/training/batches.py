"""The batches that a run reads: those it trains on, from where it is, and always the same held-out ones."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data.pretraining import PretrainingData, named_errors
from ..errors import ConfigError, DataError
from .run_config import RunConfig
from .strategies import Distribution


class TrainingBatches:
    """This worker's part of the global batches, from `positions` on (None: from the beginning), `ahead` batches made
    ahead of what is read."""

    def __init__(
        self,
        data: PretrainingData,
        batch_size: int,
        lanes: int,
        positions: list[list[int]] | None,
        distribution: Distribution,
        ahead: int,
    ) -> None:
        dataset = data.dataset(
            batch_size=batch_size,
            lanes=lanes,
            positions=positions,
            worker=distribution.worker,
            num_workers=distribution.num_workers,
            ahead=ahead,
        )
        self._iterator = dataset.as_numpy_iterator()

    def read(self) -> dict[str, np.ndarray]:
        """The next batch, features by name `[rows, ...]`."""
        with named_errors():
            return next(self._iterator)


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Held-out shards, and how they are cut; made by `open_held_out`.

    Attributes:
        batch_size: examples of a global batch. lanes: in how many lanes they are read. count: how many batches.
        distribution: this worker's place among the others.
    """

    data: PretrainingData
    batch_size: int
    lanes: int
    count: int
    distribution: Distribution

    @functools.cached_property
    def _dataset(self) -> Any:
        """Written once: that takes seconds, which every evaluation would spend again."""
        return self.data.dataset(
            batch_size=self.batch_size,
            lanes=self.lanes,
            worker=self.distribution.worker,
            num_workers=self.distribution.num_workers,
        ).take(self.count)

    def batches(self) -> Iterator[dict[str, Any]]:
        """This worker's part of the first `count` global batches."""
        with named_errors():
            yield from self._dataset.as_numpy_iterator()


def open_held_out(config: RunConfig, data: PretrainingData, distribution: Distribution) -> HeldOut | None:
    """The held-out shards of a configuration; None where it has none.

    Args:
        data: what is trained on. distribution: cut into micro-batches.

    Raises:
        ConfigError: their batches cannot be shared by the replicas, or their lanes by the workers.
        DataError: they are broken, or were made with another tokenizer than `data`.
    """
    if not config.data.evaluation:
        return None
    examples = config.examples
    if config.evaluation.mask_rate:
        examples = dataclasses.replace(examples, mask_rate=config.evaluation.mask_rate, max_predictions=None)
    held_out = PretrainingData(config.data.evaluation, examples, seed=config.training.seed)
    if held_out.manifest.tokenizer_sha256 != data.manifest.tokenizer_sha256:
        raise DataError(
            f"data.evaluation: the shards of {held_out.folder} were made with another tokenizer than those of "
            f"{data.folder}: prepare both with the same one"
        )
    replicas = distribution.num_replicas
    size = config.evaluation.batch_size or config.training.batch_size // distribution.micro_batches
    if size % replicas:
        raise ConfigError(f"evaluation.batch_size: expected a multiple of {replicas} replicas, got {size}")
    lanes = lanes_of(held_out, config.data.lanes, size, distribution.num_workers)
    return HeldOut(held_out, size, lanes, config.evaluation.batches, distribution)


def lanes_of(data: PretrainingData, most: int, batch_size: int, num_workers: int) -> int:
    """The largest number of lanes up to `most` that has a shard each, and divides the batch.

    Raises:
        ConfigError: the workers cannot share it.
    """
    shards = len(data.manifest.shards)
    lanes = next(n for n in range(min(most, shards), 0, -1) if batch_size % n == 0)
    if lanes % num_workers:
        raise ConfigError(
            f"{data.folder}: {lanes} lanes (data.lanes={most}, {shards} shards, batches of {batch_size}) cannot be "
            f"shared by {num_workers} workers: change data.lanes, or prepare the data with other --shards"
        )
    return lanes
