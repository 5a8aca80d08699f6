"""Model inputs of real text, at its exact length, to calibrate and check exported files with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .texts import SENTENCES, passages

_PASSAGE_CHARACTERS = 400


def text_features(model: Any, texts: Sequence[str] = ()) -> list[dict[str, np.ndarray]]:
    """Inputs int32 [1, length] of built-in sentences, passages and pairs, and of `texts`.

    One has a single token beside the special ones, one fills all positions of the model.
    """
    tokenizer, limit = model.tokenizer, model.config.max_positions
    singles = [*SENTENCES, *passages(SENTENCES, _PASSAGE_CHARACTERS), *texts]
    everything = " ".join(SENTENCES)
    longest = everything
    while len(tokenizer.encode(longest, max_length=limit).token_ids) < limit:
        longest = f"{longest} {everything}"
    pairs = list(zip(SENTENCES[0::4], SENTENCES[1::4], strict=False))
    encodings = [tokenizer.encode(text, max_length=limit) for text in ("a", *singles, longest)]
    encodings += [tokenizer.encode(text, pair, max_length=limit) for text, pair in pairs]
    return [
        {
            "token_ids": np.asarray([encoding.token_ids], np.int32),
            "padding_mask": np.ones((1, len(encoding.token_ids)), np.int32),
            "segment_ids": np.asarray([encoding.segment_ids], np.int32),
        }
        for encoding in encodings
    ]
