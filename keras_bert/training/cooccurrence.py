"""A token table that knows, before the first step, which tokens stand in like places: counted, not trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Neighbours up to so many tokens away count, one at distance d as 1 / d (GloVe paper, section 3.2).
WINDOW = 5
# Neighbours that are told apart: the commonest tokens, on the left and on the right.
NEIGHBOURS = 1024
# Counts of neighbours to this power are how often each is to be expected beside any token, so that rare ones do not
# look like news (Levy et al. 2015, section 3.1: context distribution smoothing).
SMOOTHING = 0.75


def cooccurrence_table(documents: Sequence[np.ndarray], vocab_size: int, width: int) -> np.ndarray:
    """The leading singular vectors of the positive pointwise mutual information of tokens and their neighbours.

    With n(t, c) the distance-weighted count of neighbour c beside token t, M(t, c) = max(0, log n(t, c) / (n(t) p(c))),
    p the smoothed share of c; the rows are those of U S^(1/2) of the truncated M = U S V^T (Levy and Goldberg 2014,
    section 3.3). The same documents give the same table.

    Args:
        documents: token ids of each, `[tokens]`.
        vocab_size: ids are below it.
        width: columns.

    Returns:
        float32 `[vocab_size, width]`; rows of length 0 for tokens that do not occur, columns of zeros where the counts
        have fewer directions than `width`.
    """
    frequencies = np.zeros(vocab_size, np.int64)
    for ids in documents:
        frequencies += np.bincount(ids, minlength=vocab_size)
    neighbours = min(NEIGHBOURS, vocab_size)
    place = np.full(vocab_size, -1)
    place[np.argsort(-frequencies, kind="stable")[:neighbours]] = np.arange(neighbours)
    counts = np.zeros((vocab_size, 2, neighbours), np.float32)
    for ids in documents:
        _count(ids, place, counts)
    return _factors(_information(counts.reshape(vocab_size, -1)), width)


def _count(ids: np.ndarray, place: np.ndarray, counts: np.ndarray) -> None:
    """Add the neighbours of one document to `counts` `[vocabulary, side, neighbours]`."""
    flat, columns = counts.reshape(-1), counts[0].size
    for distance in range(1, min(WINDOW, len(ids) - 1) + 1):
        left, right = ids[:-distance], ids[distance:]
        for side, tokens, beside in ((0, right, left), (1, left, right)):
            column = place[beside]
            known = column >= 0
            cells = tokens[known].astype(np.int64) * columns + side * counts.shape[2] + column[known]
            np.add.at(flat, cells, np.float32(1 / distance))


def _information(counts: np.ndarray) -> np.ndarray:
    """Positive pointwise mutual information, float32, in the place of `counts` `[tokens, neighbours]`."""
    expected = counts.sum(axis=0, dtype=np.float64) ** SMOOTHING
    expected /= max(expected.sum(), 1)
    of_token = counts.sum(axis=1, dtype=np.float64)
    for row, total in zip(counts, of_token, strict=True):
        seen = row > 0
        row[seen] = np.maximum(np.log(row[seen] / (total * expected[seen])), 0)
    return counts


def _factors(information: np.ndarray, width: int) -> np.ndarray:
    """U S^(1/2) of the leading singular values, by the eigenvectors of the smaller product with itself."""
    squares, vectors = np.linalg.eigh((information.T @ information).astype(np.float64))
    squares, vectors = squares[::-1][:width], vectors[:, ::-1][:, :width]
    used = squares > 1e-6 * squares[0]
    table = np.zeros((len(information), width), np.float32)
    table[:, : used.sum()] = information @ (vectors[:, used] / squares[used] ** 0.25).astype(np.float32)
    return table
