"""Vocabularies cut down to a corpus: tokens that its texts need, special tokens, and as many others as asked for.

Without a limit the corpus is read exactly as before, token for token. WordPiece takes the longest piece that fits, BPE
the merge of the highest rank, Unigram the likeliest path: taking away what was never chosen changes no choice, provided
that BPE keeps the merges on the way to a token and Unigram its least likely piece (unknown characters cost by it).
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_bert.errors import DataError, TokenizerError
from keras_bert.tokenizers import Tokenizer

_CHUNK = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class TrimmedVocabulary:
    """A smaller tokenizer and where its ids come from.

    Attributes:
        tokenizer: the new tokenizer.
        kept_ids: old id of each new one, int64 [new vocab_size], ascending.
        old_size: rows that the old tokenizer needs.
        unknown_before, unknown_after: share of the corpus's tokens that are unknown.
        length_ratio: tokens of the corpus after / before.
    """

    tokenizer: Tokenizer
    kept_ids: np.ndarray
    old_size: int
    unknown_before: float
    unknown_after: float
    length_ratio: float


def trim_vocabulary(tokenizer: Tokenizer, texts: Sequence[str], size: int | None = None) -> TrimmedVocabulary:
    """Keep what `texts` need.

    Args:
        tokenizer: any of the three kinds.
        texts: the corpus.
        size: how many ids the new vocabulary shall have: the most used of the corpus's, or, where it needs fewer,
            others of the old vocabulary in the order of their ids. None keeps exactly what the corpus needs.

    Raises:
        DataError: the corpus has no token.
        TokenizerError: `size` has no room for the special tokens and single characters, or is not smaller.
    """
    content = json.loads(tokenizer.to_json())
    vocabulary = _vocabulary(content)
    required = _required(tokenizer, content, vocabulary)
    if size is not None and size >= tokenizer.vocab_size:
        raise TokenizerError(f"a vocabulary of {size}: expected fewer than the {tokenizer.vocab_size} there are")
    encoded = list(_token_ids(tokenizer, texts))
    before = np.concatenate(encoded) if encoded else np.zeros(0, "int64")
    if not len(before):
        raise DataError("the corpus to trim the vocabulary to holds no text")
    uses = np.bincount(before, minlength=tokenizer.vocab_size)
    if tokenizer.kind == "bpe":
        uses = _uses_with_parts(content, vocabulary, tokenizer, texts, uses)
    kept = set(required)
    if tokenizer.kind != "bpe":  # whose alphabet is required already
        kept |= _characters([token for token, i in vocabulary.items() if uses[i]], vocabulary)
    if size is not None and len(kept) > size:
        raise TokenizerError(
            f"a vocabulary of {size} is too small: special tokens and single characters alone are {len(kept)}"
        )
    used = [int(i) for i in np.argsort(-uses, kind="stable") if uses[i]]
    for token_id in used:
        if size is not None and len(kept) >= size:
            break
        kept.add(token_id)
    if size is not None:
        kept |= set(_others(content, vocabulary, kept, size - len(kept)))
    ids = np.array(sorted(kept), "int64")
    smaller = _rebuild(tokenizer, content, ids)
    after = np.concatenate(list(_token_ids(smaller, texts)))
    return TrimmedVocabulary(
        smaller,
        ids,
        tokenizer.vocab_size,
        unknown_share(tokenizer, before),
        unknown_share(smaller, after),
        len(after) / len(before),
    )


def unknown_share(tokenizer: Tokenizer, token_ids: np.ndarray) -> float:
    """Share of `token_ids` that is the unknown token; byte-level BPE knows every text."""
    if tokenizer.role_token("unk") is None or not len(token_ids):
        return 0.0
    return float(np.mean(token_ids == tokenizer.unk_id))


def _token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterable[np.ndarray]:
    for start in range(0, len(texts), _CHUNK):
        rows = tokenizer.tokenize_batch(texts[start : start + _CHUNK])
        yield np.fromiter((i for row in rows for i in row), "int64")


def _vocabulary(content: dict[str, Any]) -> dict[str, int]:
    """Token -> id of the model proper, without tokens that were added beside it."""
    vocabulary = content["model"]["vocab"]
    if isinstance(vocabulary, dict):
        return vocabulary
    return {piece: index for index, (piece, _) in enumerate(vocabulary)}


def _required(tokenizer: Tokenizer, content: dict[str, Any], vocabulary: dict[str, int]) -> set[int]:
    """Ids that stay whatever the corpus holds."""
    required = {token["id"] for token in content["added_tokens"]} | set(tokenizer.special_ids)
    if tokenizer.kind == "bpe":
        required |= {i for token, i in vocabulary.items() if len(token) == 1}
        # RoBERTa's first position is the padding id plus one: that id must not move.
        required |= {i for i in vocabulary.values() if i < tokenizer.pad_id}
    if tokenizer.kind == "unigram":
        scores = [score for _, score in content["model"]["vocab"]]
        required |= {content["model"]["unk_id"], int(np.argmin(scores))}
    return required


def _characters(tokens: Sequence[str], vocabulary: dict[str, int]) -> set[int]:
    """Ids of the single characters of `tokens`, so that a word whose token goes is spelled and not unknown."""
    letters = {letter for token in tokens for letter in token.removeprefix("##")}
    return {vocabulary[name] for c in letters for name in (c, f"##{c}") if name in vocabulary}


def _uses_with_parts(
    content: dict[str, Any],
    vocabulary: dict[str, int],
    tokenizer: Tokenizer,
    texts: Sequence[str],
    uses: np.ndarray,
) -> np.ndarray:
    """How often each BPE token is made on the way to a token of the corpus, or is one."""
    ranks = {pair: rank for rank, pair in enumerate(_merges(content))}
    total = np.zeros_like(uses)
    token_of = {i: token for token, i in vocabulary.items()}
    for token_id in np.flatnonzero(uses):
        token = token_of.get(int(token_id))
        if token is None:
            continue
        for made in _derivation(token, ranks):
            total[vocabulary[made]] += uses[token_id]
    return total


def _derivation(token: str, ranks: dict[tuple[str, str], int]) -> set[str]:
    """All tokens that BPE makes on its way from the characters of `token` to it.

    Merges inside a token do not look beyond it: a pair that reaches over its end was never merged, so leaving the
    neighbours out changes nothing.
    """
    parts, made = list(token), set(token)
    while len(parts) > 1:
        pairs = [(ranks.get(pair, len(ranks)), i) for i, pair in enumerate(itertools.pairwise(parts))]
        rank, first = min(pairs)
        if rank == len(ranks):
            break
        parts[first : first + 2] = [parts[first] + parts[first + 1]]
        made.add(parts[first])
    return made


def _merges(content: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = (merge.split(" ", 1) if isinstance(merge, str) else merge for merge in content["model"]["merges"])
    return [(left, right) for left, right in pairs]


def _others(content: dict[str, Any], vocabulary: dict[str, int], kept: set[int], count: int) -> list[int]:
    """`count` more ids, in the order of ids; BPE tokens whose parts are there."""
    makers = collections.defaultdict(list)
    for left, right in _merges(content) if "merges" in content["model"] else ():
        makers[left + right].append((vocabulary[left], vocabulary[right]))
    there, found = set(kept), list[int]()
    for token, token_id in sorted(vocabulary.items(), key=lambda item: item[1]):
        if len(found) >= count:
            break
        possible = not makers or any(a in there and b in there for a, b in makers.get(token, ()))
        if token_id not in there and possible and not token.startswith("[unused"):
            there.add(token_id)
            found.append(token_id)
    return found


def _rebuild(tokenizer: Tokenizer, content: dict[str, Any], ids: np.ndarray) -> Tokenizer:
    """The tokenizer of the ids kept, renumbered."""
    new_id = {int(old): new for new, old in enumerate(ids)}
    model = content["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {token: new_id[i] for token, i in model["vocab"].items() if i in new_id}
    else:
        model["vocab"] = [piece for index, piece in enumerate(model["vocab"]) if index in new_id]
        model["unk_id"] = new_id[model["unk_id"]]
    if "merges" in model:
        there = model["vocab"]
        model["merges"] = [
            list(pair)
            for pair in _merges(content)
            if pair[0] in there and pair[1] in there and pair[0] + pair[1] in there
        ]
    for token in content["added_tokens"]:
        token["id"] = new_id[token["id"]]
    _renumber_template(content.get("post_processor"), new_id)
    names = {role: token for role in ("cls", "sep", "pad", "unk", "mask") if (token := tokenizer.role_token(role))}
    return Tokenizer.from_json(
        json.dumps(content, ensure_ascii=False),
        family=tokenizer.family,
        names=names,
        model_max_length=tokenizer.model_max_length,
        source="the trimmed tokenizer",
    )


def _renumber_template(processor: dict[str, Any] | None, new_id: dict[int, int]) -> None:
    """Ids of special tokens inside a post-processor, in place."""
    if processor is None:
        return
    for step in processor.get("processors", ()):
        _renumber_template(step, new_id)
    if isinstance(processor.get("special_tokens"), dict):
        for special in processor["special_tokens"].values():
            special["ids"] = [new_id[i] for i in special["ids"]]
    for role in ("cls", "sep"):
        if isinstance(processor.get(role), list):
            processor[role][1] = new_id[processor[role][1]]
