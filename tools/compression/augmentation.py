"""More texts for a teacher to label: altered copies of the training texts (Tang et al. 2019, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from keras_bert.config import IGNORED_TARGET
from keras_bert.data.batches import TokenizedTexts, TokenTargets, laid_end_to_end
from keras_bert.tokenizers import Tokenizer

MASKED = 0.1  # of the tokens
REPLACED = 0.1  # of the tokens, by one that stands anywhere in the texts
CUT = 0.25  # of the copies, to a few tokens in a row
LONGEST_CUT = 5


def with_copies(texts: TokenizedTexts, targets: Any, tokenizer: Tokenizer, copies: int, seed: int) -> tuple[Any, ...]:
    """The texts followed by altered copies of them, a function of the seed.

    In a copy a tenth of the tokens is masked and a tenth replaced by tokens drawn from all texts; a quarter of the
    copies of single texts are then cut to one to five tokens in a row. Special tokens stay.

    Args:
        targets: array [texts, ...], such arrays by output name, or `TokenTargets`.
        copies: of each text.

    Returns:
        Texts; targets, a copy's being those of its text, which may not hold for it: so the third is what a text's own
        targets weigh, float32 [texts], 0 for copies. The targets of a copy's tokens are `IGNORED_TARGET` instead.
    """
    weights = np.repeat(np.array([1, 0], "float32"), [len(texts), len(texts) * copies])
    generator = np.random.default_rng([seed, copies])
    joined = laid_end_to_end([*_rows(texts), *_altered(texts, tokenizer, copies, generator)])
    if isinstance(targets, TokenTargets):
        ignored = np.full(len(joined.token_ids) - len(targets.values), IGNORED_TARGET, "int32")
        return joined, TokenTargets(np.concatenate([targets.values, ignored])), None
    if isinstance(targets, Mapping):
        return joined, {name: np.concatenate([values] * (copies + 1)) for name, values in targets.items()}, weights
    return joined, np.concatenate([np.asarray(targets)] * (copies + 1)), weights


def _rows(texts: TokenizedTexts) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start, end in zip(texts.ends - texts.lengths, texts.ends, strict=True):
        yield texts.token_ids[start:end], texts.segment_ids[start:end]


def _altered(
    texts: TokenizedTexts, tokenizer: Tokenizer, copies: int, generator: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    special = np.array(tokenizer.special_ids)
    drawn_from = texts.token_ids[~np.isin(texts.token_ids, special)]
    for _ in range(copies):
        for ids, segments in _rows(texts):
            ids, plain = ids.copy(), np.flatnonzero(~np.isin(ids, special))
            chance = generator.random(len(plain))
            replaced = plain[chance < REPLACED]
            ids[replaced] = generator.choice(drawn_from, len(replaced))
            if tokenizer.role_token("mask") is not None:
                ids[plain[chance >= 1 - MASKED]] = tokenizer.mask_id
            # One stretch between special tokens: a single text.
            if len(plain) and plain[-1] - plain[0] < len(plain) and generator.random() < CUT:
                size = int(generator.integers(1, LONGEST_CUT + 1))
                first = plain[0] + int(generator.integers(0, max(1, len(plain) - size + 1)))
                kept = np.r_[: plain[0], first : min(first + size, plain[-1] + 1), plain[-1] + 1 : len(ids)]
                ids, segments = ids[kept], segments[kept]
            yield ids, segments
