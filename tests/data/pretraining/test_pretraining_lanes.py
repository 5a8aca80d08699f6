"""Epochs, seeds, workers, positions: examples are a function of where they stand, not of how they are read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from corpora import Corpus, one_epoch, read, unmasked

from keras_bert.data.pretraining import Position, next_positions
from keras_bert.errors import DataError

pytestmark = pytest.mark.tensorflow_only

BATCHES = 40


@pytest.fixture(scope="module")
def whole(corpus: Corpus) -> dict[str, np.ndarray]:
    """40 global batches of 64 rows, more than an epoch."""
    return read(corpus.data(), BATCHES, batch_size=64)


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for name, values in left.items():
        np.testing.assert_array_equal(values, right[name], err_msg=name)


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_share_the_same_global_batches(corpus: Corpus, whole: dict[str, np.ndarray], workers: int) -> None:
    data = corpus.data()
    parts = [read(data, BATCHES, batch_size=64, worker=worker, num_workers=workers) for worker in range(workers)]
    joined = {
        name: np.concatenate([np.split(part[name], BATCHES)[batch] for batch in range(BATCHES) for part in parts])
        for name in whole
    }
    same(joined, whole)


@pytest.mark.parametrize("after", [1, 17, 33])
def test_going_on_from_positions(corpus: Corpus, whole: dict[str, np.ndarray], after: int) -> None:
    """The positions go through JSON, as in a checkpoint; batch 33 is in the next epoch in some lanes."""
    ids = np.split(whole["example_ids"], BATCHES)[after - 1]
    positions = json.loads(json.dumps(next_positions(ids)))
    rest = read(corpus.data(), BATCHES - after, batch_size=64, positions=positions)
    same(rest, {name: values[64 * after :] for name, values in whole.items()})


def test_another_batch_size_takes_the_same_rows_of_each_lane(corpus: Corpus, whole: dict[str, np.ndarray]) -> None:
    other = read(corpus.data(), 30, batch_size=20)
    for lane in range(4):
        mine = {name: values[other["example_ids"][:, 0] == lane] for name, values in other.items()}
        theirs = {name: values[whole["example_ids"][:, 0] == lane] for name, values in whole.items()}
        same(mine, {name: values[: len(mine["example_ids"])] for name, values in theirs.items()})


def by_first_token(rows: dict[str, np.ndarray]) -> dict[int, tuple]:
    """What is hidden of each row, by the first token of its text."""
    return {
        int(text[1]): (positions.tolist(), shown.tolist())
        for text, positions, shown in zip(unmasked(rows), rows["masked_positions"], rows["token_ids"], strict=True)
    }


def test_epochs_differ_and_seeds_differ(corpus: Corpus) -> None:
    """Full sentences are the same in each epoch; their masks and their order are not."""
    rows = read(corpus.data(objective="mlm"), 80, batch_size=64)
    first, second = one_epoch(rows, 0), one_epoch(rows, 1)
    masks, others = by_first_token(first), by_first_token(second)
    assert masks.keys() == others.keys()
    assert np.mean([masks[key][0] == others[key][0] for key in masks]) < 0.05
    assert unmasked(first)[:, 1].tolist() != unmasked(second)[:, 1].tolist()
    same(read(corpus.data(objective="mlm"), 5, batch_size=64), {name: values[:320] for name, values in rows.items()})
    reseeded = by_first_token(one_epoch(read(corpus.data(seed=1, objective="mlm"), 80, batch_size=64)))
    assert np.mean([masks[key][0] == reseeded[key][0] for key in masks]) < 0.05


def test_static_masks_come_again(corpus: Corpus) -> None:
    rows = read(corpus.data(objective="mlm", static_masks=2), 120, batch_size=64)
    masks = [by_first_token(one_epoch(rows, epoch)) for epoch in range(3)]
    assert masks[0] == masks[2]
    assert masks[0] != masks[1]
    order = [unmasked(one_epoch(rows, epoch))[:, 1].tolist() for epoch in (0, 2)]
    assert order[0] != order[1]


def test_lanes_own_their_shards(corpus: Corpus) -> None:
    """Two lanes: lane l has the shards l and l + 2, in an order of each epoch."""
    rows = read(corpus.data(objective="mlm"), 200, batch_size=64, lanes=2)
    shard = corpus.document[unmasked(rows)[:, 1]] // 50
    ids = rows["example_ids"]
    assert (shard % 2 == ids[:, 0]).all()
    orders = {}
    for (lane, epoch, index, _), number in zip(ids.tolist(), shard.tolist(), strict=True):
        assert orders.setdefault((lane, epoch, index), number) == number
    firsts = [orders[0, epoch, 0] for epoch in range(4)] + [orders[1, epoch, 0] for epoch in range(4)]
    assert {number // 2 for number in firsts} == {0, 1}


def test_no_thread_is_waited_for_at_the_end(corpus: Corpus) -> None:
    """See `read_ahead`."""
    assert corpus.data().dataset(8).options().autotune.enabled is False


def test_next_positions() -> None:
    ids = [[1, 0, 2, 7], [0, 0, 1, 9], [0, 1, 0, 0], [1, 0, 2, 8]]
    assert next_positions(ids) == [Position(1, 0, 1), Position(0, 2, 9)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 30}, "multiple of the 4 lanes, got 30"),
        ({"batch_size": 32, "lanes": 5}, "1 to 4, the number of shards, got 5"),
        ({"batch_size": 32, "lanes": 0}, "1 to 4, the number of shards, got 0"),
        ({"batch_size": 32, "num_workers": 3}, "divisor of the 4 lanes, got 3"),
        ({"batch_size": 32, "num_workers": 2, "worker": 2}, "expected 0 to 1, got 2"),
        ({"batch_size": 32, "positions": [(0, 0, 0)]}, "one position a lane, 4 in all, got 1"),
        ({"batch_size": 32, "positions": [(0, 0, -1)] * 4}, "cannot be negative"),
    ],
)
def test_numbers_that_do_not_divide(corpus: Corpus, arguments: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        corpus.data().dataset(**{"lanes": 4, **arguments})
