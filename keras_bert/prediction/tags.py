"""Logits of words to the best sequence of tags that IOB2 allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class LegalTags(NamedTuple):
    """Which tags may start a text, bool [tags], and which may follow which, bool [tags before, tags after]."""

    start: np.ndarray
    follows: np.ndarray


def legal_tags(labels: Sequence[str]) -> LegalTags:
    """The rules of IOB2 over `labels`: `I-X` follows only `B-X` or `I-X`, unless the labels know no `B-X`.

    Labels without these prefixes are free.
    """
    start = np.array([not (label.startswith("I-") and "B-" + label[2:] in labels) for label in labels])
    follows = np.tile(start, (len(labels), 1))
    for before, label in enumerate(labels):
        if label[:2] in ("B-", "I-") and "I-" + label[2:] in labels:
            follows[before, list(labels).index("I-" + label[2:])] = True
    return LegalTags(start, follows)


def best_legal_path(logits: np.ndarray, legal: LegalTags) -> np.ndarray:
    """The legal tag sequence of the highest total logit (Viterbi 1967): int64 [words] from float [words, tags].

    Logits serve as they are: the softmax of a word would subtract the same from all its tags. Where the words' own best
    tags are legal together, nothing is better. Of equal sequences the one with the lower tag ids from its end on.
    """
    own = logits.argmax(-1)
    if not len(own) or (legal.start[own[0]] and legal.follows[own[:-1], own[1:]].all()):
        return own
    penalty = np.where(legal.follows, 0.0, -np.inf)
    best = np.where(legal.start, logits[0], -np.inf)
    back = np.zeros(logits.shape, np.int64)
    for word in range(1, len(logits)):
        candidates = best[:, None] + penalty
        back[word] = candidates.argmax(0)
        best = candidates.max(0) + logits[word]
    path = np.empty(len(logits), np.int64)
    path[-1] = best.argmax()
    for word in range(len(logits) - 1, 0, -1):
        path[word - 1] = back[word, path[word]]
    return path
