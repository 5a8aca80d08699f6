"""The tokens of a tokenizer and their ids."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Literal

import tokenizers

from ..errors import TokenizerError
from .special_tokens import ROLE_NAMES

Kind = Literal["wordpiece", "bpe", "unigram"]
KINDS: dict[str, Kind] = {"WordPiece": "wordpiece", "BPE": "bpe", "Unigram": "unigram"}


def kind_of(backend: tokenizers.Tokenizer) -> Kind:
    """Which algorithm a pipeline runs. Raises TokenizerError for one that is not in `KINDS`."""
    algorithm = type(backend.model).__name__
    if algorithm not in KINDS:
        raise TokenizerError(f"a tokenizer of type {algorithm} is not supported, expected one of {', '.join(KINDS)}")
    return KINDS[algorithm]


class Vocabulary:
    """What a tokenizer knows of its tokens without reading a text: `Tokenizer` adds the reading.

    Attributes:
        kind: "wordpiece", "bpe" or "unigram".
    """

    def __init__(self, backend: tokenizers.Tokenizer, kind: Kind, roles: Mapping[str, str]):
        """Name the tokens of a pipeline of the `tokenizers` package.

        Args:
            roles: role ("cls", "sep", "pad", "unk", "mask") -> the token that plays it.

        Raises:
            TokenizerError: no padding token.
        """
        if "pad" not in roles:
            raise TokenizerError(f"the tokenizer has no padding token: expected {' or '.join(ROLE_NAMES['pad'])}")
        self.kind = kind
        self._backend = backend
        self._roles = dict(roles)
        ids = {role: backend.token_to_id(token) for role, token in roles.items()}
        self._role_ids = {role: token_id for role, token_id in ids.items() if token_id is not None}

    @property
    def vocab(self) -> dict[str, int]:
        """Token -> id, added tokens included."""
        return self._backend.get_vocab(with_added_tokens=True)

    @functools.cached_property
    def vocab_size(self) -> int:
        """Rows that an embedding table needs: the highest id plus one."""
        return max(self.vocab.values()) + 1

    def token_to_id(self, token: str) -> int | None:
        """The id of a vocabulary entry, None when there is no such entry."""
        return self._backend.token_to_id(token)

    def id_to_token(self, token_id: int) -> str | None:
        """The vocabulary entry of an id, None when there is no such id."""
        return self._backend.id_to_token(token_id) if 0 <= token_id < self.vocab_size else None

    def role_token(self, role: str) -> str | None:
        """The token that plays a role ("cls", "sep", "pad", "unk", "mask"), None when none does."""
        return self._roles.get(role)

    def _role_id(self, role: str) -> int:
        if role not in self._role_ids:
            raise TokenizerError(f"this {self.kind} tokenizer has no {role} token")
        return self._role_ids[role]

    @property
    def cls_id(self) -> int:
        """Id of the token before a text ([CLS], <s>)."""
        return self._role_id("cls")

    @property
    def sep_id(self) -> int:
        """Id of the token after a text ([SEP], </s>)."""
        return self._role_id("sep")

    @property
    def pad_id(self) -> int:
        """Id that fills short rows of a batch."""
        return self._role_id("pad")

    @property
    def unk_id(self) -> int:
        """Id of a piece of text that the vocabulary cannot express. Raises TokenizerError when there is none."""
        return self._role_id("unk")

    @property
    def mask_id(self) -> int:
        """Id that stands for a hidden token. Raises TokenizerError when there is none."""
        return self._role_id("mask")

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Ids, ascending, of all special tokens: the roles and whatever else the tokenizer marks as special."""
        marked = {token_id for token_id, token in self._backend.get_added_tokens_decoder().items() if token.special}
        return tuple(sorted(marked | set(self._role_ids.values())))

    @functools.cached_property
    def lowercase(self) -> bool:
        """Whether texts are lower-cased first."""
        normalizer = self._backend.normalizer
        return normalizer is not None and normalizer.normalize_str("A").lower() == normalizer.normalize_str("A")

    def check_vocabulary(self, vocab_size: int) -> None:
        """Raise TokenizerError when an id reaches beyond an embedding table of `vocab_size` rows.

        Fewer ids than rows are fine: tables are often padded to a round number.
        """
        if self.vocab_size > vocab_size:
            raise TokenizerError(
                f"the tokenizer has ids up to {self.vocab_size - 1}, but the model's embedding has {vocab_size} rows "
                f"(ids 0 to {vocab_size - 1}); the two do not belong together"
            )

    def add_tokens(self, tokens: Sequence[str]) -> int:
        """Add words to the vocabulary, with the next free ids; the ones already there are passed over.

        They are matched as whole words only. BPE and Unigram take the space before such a word into it.

        Returns:
            How many were added; the model's embedding must grow to `vocab_size` rows.
        """
        if any(not token.strip() for token in tokens):
            raise TokenizerError("cannot add an empty token to the vocabulary")
        known = self.vocab
        added = self._backend.add_tokens(
            [
                tokenizers.AddedToken(token, single_word=True, lstrip=self.kind != "wordpiece")
                for token in tokens
                if token not in known
            ]
        )
        self.__dict__.pop("vocab_size", None)
        return added
