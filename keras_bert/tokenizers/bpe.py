"""Byte-level BPE as in GPT-2 and RoBERTa: `vocab.json` and `merges.txt`. No text is unknown to it.

Source: Radford et al. 2019 (byte-level BPE); Liu et al. 2019 (RoBERTa's special tokens and pairs).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, processors

from ..errors import TokenizerError
from .special_tokens import ROBERTA_SPECIALS, add_special, find_roles, require_roles


def parse_vocabulary(text: str, source: str) -> dict[str, int]:
    """Token -> id from the text of a `vocab.json`.

    Raises:
        TokenizerError: not a JSON object of distinct non-negative integers.
    """
    try:
        vocabulary = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{source} is not valid JSON: {error}") from error
    if not isinstance(vocabulary, dict) or not vocabulary:
        raise TokenizerError(f"{source} must hold a JSON object of token -> id, got {type(vocabulary).__name__}")
    owners: dict[int, str] = {}
    for token, token_id in vocabulary.items():
        if type(token_id) is not int or token_id < 0:
            raise TokenizerError(
                f"{source}: the id of token {token!r} must be a non-negative integer, got {token_id!r}"
            )
        if token_id in owners:
            raise TokenizerError(f"{source}: tokens {owners[token_id]!r} and {token!r} have the same id {token_id}")
        owners[token_id] = token
    return vocabulary


def is_alphabet(vocabulary: Mapping[str, int]) -> bool:
    """Whether all tokens but the special ones are single characters, so that there is nothing to merge."""
    return all(len(token) == 1 or token in ROBERTA_SPECIALS for token in vocabulary)


def parse_merges(text: str, vocabulary: Mapping[str, int], source: str) -> list[tuple[str, str]]:
    """Merges in order of priority from the text of a `merges.txt`: two tokens a line, an optional `#version` line.

    Raises:
        TokenizerError: a line that is not two tokens, or whose tokens or result the vocabulary lacks; names the line.
    """
    merges = []
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, _, right = line.partition(" ")
        if not left or not right or " " in right:
            raise TokenizerError(f"{source} line {number}: expected two tokens with a space between, got {line[:80]!r}")
        if left not in vocabulary or right not in vocabulary or left + right not in vocabulary:
            missing = next(token for token in (left, right, left + right) if token not in vocabulary)
            raise TokenizerError(f"{source} line {number}: {missing[:80]!r} is not in the vocabulary")
        merges.append((left, right))
    return merges


def build_byte_level_bpe(
    vocabulary: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    *,
    add_prefix_space: bool = False,
    trim_offsets: bool = True,
    names: Mapping[str, str] | None = None,
    source: str = "the vocabulary",
) -> Backend:
    """RoBERTa's pipeline: `<s> A </s>` and `<s> A </s></s> B </s>`, all in segment 0.

    Args:
        add_prefix_space: treat the first word as if a space stood before it.
        trim_offsets: leave the space that a token begins with out of its offsets.
        names: role (`cls`, `sep`, `pad`, `unk`, `mask`) -> token, where other than usual.
        source: what an error message calls the vocabulary.
    """
    roles = find_roles(vocabulary.get, names or {})
    require_roles(roles, ("cls", "sep", "pad"), source)
    backend = Backend(
        models.BPE(dict(vocabulary), list(merges), continuing_subword_prefix="", end_of_word_suffix="", fuse_unk=False)
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.RobertaProcessing(
        (roles["sep"], vocabulary[roles["sep"]]),
        (roles["cls"], vocabulary[roles["cls"]]),
        trim_offsets=trim_offsets,
        add_prefix_space=add_prefix_space,
    )
    add_special(backend, vocabulary, roles, mask_strips_left=True)
    return backend
