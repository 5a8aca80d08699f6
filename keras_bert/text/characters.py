"""What a host tokenizer makes of each character, as a table that the graph looks up."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
import tokenizers

SPACE = " "
_CODE_POINTS = 0x110000
_SURROGATES = range(0xD800, 0xE000)  # no characters: neither Python's UTF-8 nor the graph's yields them
_PAGE = 256
_ITSELF = -1
# Stands between characters whose class is asked for; a letter to every pre-tokeniser.
_LETTER = "x"
_CHUNK = 4096


class CharacterTable:
    """A map from each code point to a few: what normalisation makes of it, with spaces where words begin and end.

    Punctuation comes out with spaces around, white space as a space, and a removed character as nothing, so that
    splitting the result at spaces gives the words of the host's pre-tokeniser. Kept in two stages, as pages of 256 code
    points, equal pages once.
    """

    def __init__(self, pages: np.ndarray, rows: np.ndarray, values: np.ndarray, splits: np.ndarray) -> None:
        """The table's parts.

        Args:
            pages: int32 [4352], number of the page of each 256 code points.
            rows: int32 [pages * 256], number of each code point's sequence.
            values: int32, all sequences end to end; -1 stands for the character itself.
            splits: int64 [sequences + 1], where each begins in `values`.
        """
        self._pages, self._rows, self._values, self._splits = pages, rows, values, splits

    def __call__(self, code_points: tf.RaggedTensor) -> tf.RaggedTensor:
        """Replace each character: int32 [texts, characters] to int32 [texts, characters of the words and spaces]."""
        before = code_points.flat_values
        rows = tf.gather(self._pages, before // _PAGE) * _PAGE + before % _PAGE
        sequences = tf.gather(
            tf.RaggedTensor.from_row_splits(self._values, self._splits, validate=False), tf.gather(self._rows, rows)
        )
        after = sequences.flat_values
        after = tf.where(after == _ITSELF, tf.repeat(before, sequences.row_lengths()), after)
        return code_points.with_flat_values(sequences.with_flat_values(after)).merge_dims(1, 2)


@functools.lru_cache(maxsize=8)
def character_table(normalizer_and_pre_tokenizer: str) -> CharacterTable:
    """The table of a pipeline, given as a `tokenizer.json` with these two parts (its model does not matter).

    Takes about a second: every character of Unicode goes through both.
    """
    pipeline = tokenizers.Tokenizer.from_str(normalizer_and_pre_tokenizer)
    changed = _changed(pipeline.normalizer.normalize_str) if pipeline.normalizer is not None else {}
    spaced = _spaced(pipeline.pre_tokenizer)
    numbers: dict[tuple[int, ...], int] = {(_ITSELF,): 0}
    rows = np.zeros(_CODE_POINTS, np.int32)
    for original in sorted({*changed, *spaced}):
        text = "".join([spaced.get(character, character) for character in changed.get(original, original)])
        sequence = tuple(_ITSELF if character == original != SPACE else ord(character) for character in text)
        rows[ord(original)] = numbers.setdefault(sequence, len(numbers))
    pages, indices = np.unique(rows.reshape(-1, _PAGE), axis=0, return_inverse=True)
    values = [value for sequence in numbers for value in sequence]
    splits = np.cumsum([0, *map(len, numbers)])
    return CharacterTable(
        indices.reshape(-1).astype(np.int32), pages.reshape(-1), np.asarray(values, np.int32), splits.astype(np.int64)
    )


def _changed(normalize: Callable[[str], str]) -> dict[str, str]:
    """The characters that normalisation changes, with what becomes of them."""
    result = {}
    for chunk in _chunks(_PAGE):
        text = _LETTER.join(chunk)
        if normalize(text) == text:
            continue  # most of Unicode is unassigned
        for character in chunk:
            normalized = normalize(character)
            if normalized != character:
                result[character] = normalized
    return result


def _spaced(pre_tokenizer: tokenizers.pre_tokenizers.PreTokenizer) -> dict[str, str]:
    """The characters at which a word begins or ends, with spaces there; white space as one space."""
    result = {}
    for chunk in _chunks(_CHUNK):
        # Each stands between two letters, at an odd place; the bounds of words then tell how it splits.
        text = _LETTER + "".join(character + _LETTER for character in chunk)
        words = [span for _, span in pre_tokenizer.pre_tokenize_str(text)]
        starts, ends = {start for start, _ in words}, {end for _, end in words}
        for place, character in enumerate(chunk):
            start = 2 * place + 1
            if start in ends and start not in starts:
                result[character] = SPACE
            elif start in starts or start + 1 in ends:
                result[character] = SPACE * (start in starts) + character + SPACE * (start + 1 in ends)
    return result


def _chunks(size: int) -> Iterator[list[str]]:
    """All characters, `size` at a time."""
    for start in range(0, _CODE_POINTS, size):
        chunk = [chr(code_point) for code_point in range(start, start + size) if code_point not in _SURROGATES]
        if chunk:
            yield chunk
