"""Interleaved timing of many builds of one network.

Times on a shared machine drift by tens of per cent within seconds, so builds are never timed one after the other:
every round calls each of them, and only ratios of medians over the same rounds are worth reading.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

CALLS_PER_ROUND = 3
# Processor time leaves out the waits that other programs cause: what to look at while a machine is busy, on one thread.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

Run = Callable[[], object]


@dataclass(frozen=True)
class Contestant:
    """One build of the network.

    Attributes:
        group: what it stands for in the report, such as `onnxruntime int8`; the quickest of a group represents it.
        variant: how this one is built.
        prepare: takes a length in tokens, returns a call that answers one text of that length.
    """

    group: str
    variant: str
    prepare: Callable[[int], Run] = field(repr=False)


@dataclass(frozen=True)
class Result:
    """Milliseconds of one contestant over the final rounds.

    The median says what a user of this machine, as busy as it is, waits; the tenth percentile what the build takes when
    nothing interrupts it.
    """

    contestant: Contestant
    median: float
    tenth: float


def model_inputs(length: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Int64 [1, length] inputs under both spellings of their names: random tokens, one segment, nothing masked."""
    ids = np.random.default_rng(seed).integers(1000, 30000, (1, length))
    zeros, ones = np.zeros_like(ids), np.ones_like(ids)
    return {
        "input_ids": ids,
        "token_ids": ids,
        "token_type_ids": zeros,
        "segment_ids": zeros,
        "attention_mask": ones,
        "padding_mask": ones,
    }


def interleave(runs: list[Run], rounds: int, clock: Callable[[], float]) -> np.ndarray:
    """Milliseconds [runs, rounds * CALLS_PER_ROUND]; each visit starts with one call that is not counted."""
    times = np.empty((len(runs), rounds, CALLS_PER_ROUND))
    for round_index in range(rounds):
        for index, run in enumerate(runs):
            run()
            for call in range(CALLS_PER_ROUND):
                start = clock()
                run()
                times[index, round_index, call] = clock() - start
    return 1000 * times.reshape(len(runs), -1)


def hold(
    contestants: Iterable[Contestant], length: int, rounds: int, qualifying_rounds: int, clock: str = "wall"
) -> list[Result]:
    """Time all contestants at one length; return the two quickest of each group, quickest first.

    All run the qualifying rounds; the final rounds are among the two quickest of each group.
    """
    contestants = list(contestants)
    runs = [contestant.prepare(length) for contestant in contestants]
    qualifying = np.percentile(interleave(runs, qualifying_rounds, CLOCKS[clock]), 25, axis=1)
    by_group: dict[str, list[int]] = {}
    for index in np.argsort(qualifying):
        by_group.setdefault(contestants[index].group, []).append(int(index))
    finalists = [index for members in by_group.values() for index in members[:2]]
    times = interleave([runs[index] for index in finalists], rounds, CLOCKS[clock])
    results = [
        Result(contestants[index], float(np.median(row)), float(np.percentile(row, 10)))
        for index, row in zip(finalists, times, strict=True)
    ]
    return sorted(results, key=lambda result: result.median)
