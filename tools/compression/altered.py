"""Copies of training texts with other words in them, for a teacher to label: a small set says little of what it knows.

Words are hidden or replaced by others of the corpus (Tang et al. 2019, "Distilling Task-Specific Knowledge from BERT
into Simple Neural Networks", section 3.3; TinyBERT's augmentation, Jiao et al. 2020, section 3, is in the same spirit),
and phrases come from other texts (Yoon, Kim and Park 2021, "SSMix"). A copy is as long as its text, token for token, so
that tags and places stay where they are; special tokens stay as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_bert.data.batches import TokenizedTexts, TokenTargets
from keras_bert.data.pretraining.vocabulary import Vocabulary, read_vocabulary
from keras_bert.tokenizers import Tokenizer

HIDDEN, REPLACED = 0.1, 0.1  # shares of the words
SPLICED = 0.5  # share of the texts that get a phrase of another one
PHRASE = (0.2, 0.6)  # its length, as a share of the part of the text (between special tokens) that it falls into


def altered_copies(texts: TokenizedTexts, tokenizer: Tokenizer, count: int, seed: int) -> list[TokenizedTexts]:
    """`count` altered copies of all texts, functions of the seed."""
    if not count:
        return []
    vocabulary = read_vocabulary(tokenizer)
    return [_altered(texts, vocabulary, np.random.default_rng([seed, copy])) for copy in range(count)]


def joined(parts: Sequence[TokenizedTexts]) -> TokenizedTexts:
    """The texts of all parts, one part after the other."""
    offsets = np.cumsum([0, *(len(part.token_ids) for part in parts[:-1])])
    return TokenizedTexts(
        np.concatenate([part.token_ids for part in parts]),
        np.concatenate([part.segment_ids for part in parts]),
        np.concatenate([part.ends + offset for part, offset in zip(parts, offsets, strict=True)]),
        sum(part.truncated for part in parts),
    )


def with_copies(texts: int, copies: int, epoch: int) -> np.ndarray:
    """Indices of the texts and of an epoch's copies of them, where all epochs' copies follow the texts."""
    first = texts * (1 + copies * epoch)
    return np.concatenate([np.arange(texts), np.arange(first, first + texts * copies)])


def in_ids(texts: TokenizedTexts, ids: np.ndarray | None) -> TokenizedTexts:
    """The texts in another vocabulary, whose id of each of theirs is in `ids`; None: the same."""
    return texts if ids is None else dataclasses.replace(texts, token_ids=ids[texts.token_ids].astype("int32"))


def joined_targets(parts: Sequence[Any]) -> Any:
    """The targets of all parts, one part after the other: arrays, arrays by output name, or `TokenTargets`."""
    if isinstance(parts[0], TokenTargets):
        return TokenTargets(np.concatenate([part.values for part in parts]))
    if isinstance(parts[0], Mapping):
        return {name: joined_targets([part[name] for part in parts]) for name in parts[0]}
    return np.concatenate([np.asarray(part) for part in parts])


def _altered(texts: TokenizedTexts, vocabulary: Vocabulary, generator: np.random.Generator) -> TokenizedTexts:
    source = texts.token_ids
    ordinary = ~vocabulary.is_special[source]
    if not ordinary.any():
        return texts
    spliced = _spliced(texts, ordinary, _word_starts(source, ordinary, vocabulary), generator)
    changed = _other_words(spliced, source, ordinary, vocabulary, generator)
    return dataclasses.replace(texts, token_ids=changed)


def _word_starts(token_ids: np.ndarray, ordinary: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """Places where words begin, special tokens left out."""
    after_special = np.append(True, ~ordinary[:-1])
    return np.flatnonzero(ordinary & (vocabulary.starts_word[token_ids] | after_special))


def _spliced(
    texts: TokenizedTexts, ordinary: np.ndarray, starts: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """The token ids with a phrase, of one part of some text, in a part of every text that is chosen."""
    source = texts.token_ids
    # A part is a run of ordinary tokens: where it begins, and how many are left in it from each place on.
    special = np.flatnonzero(~ordinary)
    before = np.concatenate([[-1], special, [len(source)]])
    part = np.searchsorted(special, np.arange(len(source)))
    begins, ends = before[part] + 1, before[part + 1]
    left = ends[starts] - starts
    by_room = starts[np.argsort(left, kind="stable")]
    room = np.sort(left)

    places = np.flatnonzero(ordinary)
    first = np.searchsorted(places, np.append(0, texts.ends[:-1]))
    count = np.searchsorted(places, texts.ends) - first
    chosen = np.flatnonzero((generator.random(len(texts)) < SPLICED) & (count > 0))
    inside = places[first[chosen] + generator.integers(0, count[chosen])]
    whole = ends[inside] - begins[inside]
    sizes = np.maximum((whole * generator.uniform(*PHRASE, len(chosen))).astype(int), 1)
    targets = begins[inside] + generator.integers(0, whole - sizes + 1)
    # From any word on that has so much after it in its part; the text's own part begins with one.
    phrases = by_room[generator.integers(np.searchsorted(room, sizes), len(room))]
    result = source.copy()
    for target, phrase, size in zip(targets, phrases, sizes, strict=True):
        result[target : target + size] = source[phrase : phrase + size]
    return result


def _other_words(
    token_ids: np.ndarray,
    source: np.ndarray,
    ordinary: np.ndarray,
    vocabulary: Vocabulary,
    generator: np.random.Generator,
) -> np.ndarray:
    """Some words hidden, some replaced by one of `source`, as often as it occurs there and of as many tokens."""
    result = token_ids.copy()
    words, others = (_words(ids, ordinary, vocabulary) for ids in (token_ids, source))
    drawn = generator.random(len(words[0]))
    for size in np.unique(words[1]):
        of_size = words[1] == size
        offsets = np.arange(size)
        hidden = words[0][of_size & (drawn < HIDDEN)]
        result[hidden[:, None] + offsets] = vocabulary.mask_id
        replaced = words[0][of_size & (drawn >= HIDDEN) & (drawn < HIDDEN + REPLACED)]
        candidates = others[0][others[1] == size]
        if len(candidates):
            taken = generator.choice(candidates, len(replaced))
            result[replaced[:, None] + offsets] = source[taken[:, None] + offsets]
    return result


def _words(token_ids: np.ndarray, ordinary: np.ndarray, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Where words begin, and their tokens."""
    starts = _word_starts(token_ids, ordinary, vocabulary)
    bounds = np.sort(np.concatenate([starts, np.flatnonzero(~ordinary), [len(token_ids)]]))
    return starts, bounds[np.searchsorted(bounds, starts) + 1] - starts
