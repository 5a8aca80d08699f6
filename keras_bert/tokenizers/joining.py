"""How texts are cut to a length and joined with special tokens: `[CLS] A [SEP] B [SEP]` and the like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import tokenizers

from ..errors import TokenizerError
from .encoding import Encoding

Truncation = Literal["longest_first", "only_first", "only_second"]


@dataclass(frozen=True)
class TemplatePart:
    """One step of the way that texts are joined: a special token, or a whole text (`sequence` 0 or 1)."""

    segment_id: int
    sequence: int | None = None
    token_id: int = -1
    token: str = ""


def read_template(backend: tokenizers.Tokenizer, count: int) -> tuple[TemplatePart, ...]:
    """How `backend` joins one or two texts, read off what it does with a text of a single special token."""
    added = backend.get_added_tokens_decoder()
    probe = next((token.content for token in added.values() if token.special), "a")
    encoding = backend.encode(probe, probe if count == 2 else None, add_special_tokens=True)
    parts: list[TemplatePart] = []
    columns = zip(encoding.sequence_ids, encoding.ids, encoding.tokens, encoding.type_ids, strict=True)
    for sequence, token_id, token, segment_id in columns:
        if sequence is None:
            parts.append(TemplatePart(segment_id, None, token_id, token))
        elif not any(part.sequence == sequence for part in parts):
            parts.append(TemplatePart(segment_id, sequence))
    if {part.sequence for part in parts} - {None} != set(range(count)):
        raise TokenizerError(f"the tokenizer does not keep {count} texts apart when it joins them")
    return tuple(parts)


def kept_lengths(lengths: Sequence[int], num_special: int, max_length: int | None, truncation: Truncation) -> list[int]:
    """How many tokens of each text stay, so that they with their special tokens fit `max_length`.

    `longest_first` takes tokens off the longer text until both are equally long, then evenly; an odd token stays with
    the longer text, or the second of equals: the rule of Hugging Face `tokenizers`, so that every runner cuts alike.

    Args:
        lengths: tokens in the one text or the two, without special tokens.
        num_special: number of special tokens to be added.

    Raises:
        TokenizerError: no room for the special tokens, or the one text that may be cut is too short for it.
    """
    if truncation not in get_args(Truncation):
        raise TokenizerError(f"truncation must be one of {', '.join(get_args(Truncation))}, got {truncation!r}")
    if max_length is None:
        return list(lengths)
    budget = max_length - num_special
    if budget < 0:
        raise TokenizerError(f"max_length {max_length} leaves no room for the {num_special} special tokens")
    excess = sum(lengths) - budget
    if excess <= 0:
        return list(lengths)
    if len(lengths) == 1:
        if truncation == "only_second":
            raise TokenizerError("truncation 'only_second' needs a pair of texts, got one text that is too long")
        return [budget]
    first, second = lengths
    if truncation == "only_first":
        return [_shortened(first, excess, "first", max_length), second]
    if truncation == "only_second":
        return [first, _shortened(second, excess, "second", max_length)]
    short, long = sorted(lengths)
    long = min(long, max(short, budget - short))
    if short + long > budget:
        short, long = budget // 2, budget - budget // 2
    return [long, short] if first > second else [short, long]


def _shortened(length: int, excess: int, name: str, max_length: int) -> int:
    """`length` less `excess`, at least one token staying."""
    if length <= excess:
        raise TokenizerError(
            f"cannot cut the pair to max_length {max_length}: truncation 'only_{name}' would have to take {excess} "
            f"tokens off the {name} text, which has {length}; use 'longest_first'"
        )
    return length - excess


def join_ids(
    template: Sequence[TemplatePart], sequences: Sequence[list[int]], max_length: int | None, truncation: Truncation
) -> tuple[list[int], list[int]]:
    """Token ids and segment ids of one or two texts, cut and with special tokens."""
    kept = _kept(template, sequences, max_length, truncation)
    token_ids: list[int] = []
    segment_ids: list[int] = []
    for part in template:
        added = [part.token_id] if part.sequence is None else sequences[part.sequence][: kept[part.sequence]]
        token_ids.extend(added)
        segment_ids.extend([part.segment_id] * len(added))
    return token_ids, segment_ids


def join_encodings(
    template: Sequence[TemplatePart],
    sequences: Sequence[tokenizers.Encoding],
    max_length: int | None,
    truncation: Truncation,
) -> Encoding:
    """The Encoding of one or two texts, cut (the given ones in place) and with special tokens."""
    before = [len(sequence) for sequence in sequences]
    kept = _kept(template, sequences, max_length, truncation)
    joined = Encoding([], [], [], [], [], [], [], truncated=kept != before)
    for part in template:
        if part.sequence is None:
            joined.token_ids.append(part.token_id)
            joined.segment_ids.append(part.segment_id)
            joined.tokens.append(part.token)
            joined.offsets.append((0, 0))
            joined.word_ids.append(None)
            joined.sequence_ids.append(None)
            joined.special_tokens_mask.append(1)
        else:
            source, count = sequences[part.sequence], kept[part.sequence]
            source.truncate(count)
            joined.token_ids.extend(source.ids)
            joined.segment_ids.extend([part.segment_id] * count)
            joined.tokens.extend(source.tokens)
            joined.offsets.extend(source.offsets)
            joined.word_ids.extend(source.word_ids)
            joined.sequence_ids.extend([part.sequence] * count)
            joined.special_tokens_mask.extend([0] * count)
    return joined


def _kept(
    template: Sequence[TemplatePart],
    sequences: Sequence[list[int] | tokenizers.Encoding],
    max_length: int | None,
    truncation: Truncation,
) -> list[int]:
    num_special = sum(part.sequence is None for part in template)
    lengths = [len(sequence) for sequence in sequences]
    return kept_lengths(lengths, num_special, max_length, truncation)
