"""Rows of ids to the rectangular arrays that a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from ..errors import TokenizerError

Padding = Literal["longest", "max_length"]


def pad_rows(
    rows: Sequence[tuple[list[int], list[int]]],
    pad_id: int,
    *,
    max_length: int | None = None,
    padding: Padding = "longest",
    pad_to_multiple_of: int | None = None,
) -> dict[str, np.ndarray]:
    """Fill rows of (token ids, segment ids) up to one length.

    Args:
        padding: fill up to the longest row, or to `max_length`.
        pad_to_multiple_of: round the length up to a multiple, though never beyond `max_length`.

    Returns:
        `token_ids`, `padding_mask` (1 for tokens, 0 for padding) and `segment_ids`, int32 [batch, length].

    Raises:
        TokenizerError: padding to `max_length` without one.
    """
    if padding == "longest":
        length = max((len(token_ids) for token_ids, _ in rows), default=0)
    elif padding == "max_length" and max_length is not None:
        length = max_length
    elif padding == "max_length":
        raise TokenizerError("padding to 'max_length' needs max_length")
    else:
        raise TokenizerError(f"padding must be 'longest' or 'max_length', got {padding!r}")
    if pad_to_multiple_of is not None:
        length = -(-length // pad_to_multiple_of) * pad_to_multiple_of
        length = length if max_length is None else min(length, max_length)
    token_ids = np.full((len(rows), length), pad_id, np.int32)
    padding_mask, segment_ids = np.zeros_like(token_ids), np.zeros_like(token_ids)
    for index, (ids, segments) in enumerate(rows):
        token_ids[index, : len(ids)] = ids
        padding_mask[index, : len(ids)] = 1
        segment_ids[index, : len(ids)] = segments
    return {"token_ids": token_ids, "padding_mask": padding_mask, "segment_ids": segment_ids}
