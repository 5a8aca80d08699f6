"""Masking of one example as a plain loop over Python numbers: the second implementation that the graph is held to."""

from __future__ import annotations

import math

import numpy as np

from keras_bert.data.pretraining.randomness import Stream

LENGTHS = {"ngram": [1 / 1, 1 / 2, 1 / 3], "span": [0.2 * 0.8**n for n in range(10)]}
_WORD = 2**64


def splitmix64(state: int, number: int) -> int:
    """Output `number`, from 0, of SplitMix64 started with `state`."""
    z = (state + (number + 1) * 0x9E3779B97F4A7C15) % _WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % _WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % _WORD
    return z ^ (z >> 31)


def bits(key: int, stream: Stream, counter: int) -> int:
    return splitmix64(key, counter * 16 + int(stream))


def uniform(key: int, stream: Stream, counter: int) -> float:
    return (bits(key, stream, counter) >> 11) / 2**53


def units_of(begins: list[bool], special: list[bool], key: int, masking: str, row_length: int) -> list[int]:
    """The unit of each place: words in the order of reading, tiled by drawn lengths, cut at special tokens."""
    word, words = -1, []
    for begin in begins:
        word += begin
        words.append(word)
    if masking not in LENGTHS:
        return words
    weights = LENGTHS[masking]
    bounds = np.cumsum(weights) / np.sum(weights)
    unit_of_word: list[int] = []
    while len(unit_of_word) <= word:
        unit = unit_of_word[-1] + 1 if unit_of_word else 0
        drawn = uniform(key, Stream.UNIT_LENGTH, unit)
        unit_of_word += [unit] * (1 + int(np.searchsorted(bounds[:-1], drawn, side="right")))
    seen, units = 0, []
    for place, number in enumerate(words):
        seen += special[place]
        units.append(unit_of_word[number] + row_length * seen)
    return units


def mask_example(
    tokens: list[int], begins: list[bool], special: list[bool], key: int, settings, ordinary: list[int], mask_id: int
) -> tuple[dict[int, int], list[int]]:
    """Position -> what stands there for each masked token of one example; and the unit of each place."""
    if settings.masking == "token":
        begins = [True] * len(tokens)
    units = units_of(begins, special, key, settings.masking, settings.sequence_length)
    words: list[list[int]] = []
    for place, begin in enumerate(begins):
        if begin:
            words.append([])
        words[-1].append(place)
    words = [word for word in words if not special[word[0]]]
    words.sort(key=lambda word: (bits(key, Stream.PRIORITY, units[word[0]]) >> 9, word[0]))
    count = math.floor(settings.mask_rate * len(tokens) + uniform(key, Stream.BUDGET, 0))
    count = min(settings.max_predictions, max(1, count))
    hidden: dict[int, int] = {}
    for word in words:
        if len(hidden) + len(word) > count:
            continue
        for place in word:
            choice = uniform(key, Stream.REPLACEMENT, units[place] if settings.masking == "span" else place)
            drawn = ordinary[(bits(key, Stream.TOKEN, place) >> 33) * len(ordinary) >> 31]
            hidden[place] = mask_id if choice < 0.8 else drawn if choice < 0.9 else tokens[place]
    return hidden, units
