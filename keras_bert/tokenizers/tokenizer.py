"""The one Tokenizer: any of the three algorithms behind it, texts in, ids or arrays out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import tokenizers

from ..errors import TokenizerError
from .batching import Padding, pad_rows
from .encoding import Encoding
from .joining import Truncation, join_encodings, join_ids, read_template
from .special_tokens import find_roles
from .vocabulary import Vocabulary, kind_of

_SURROGATES = re.compile("[\ud800-\udfff]")


class Tokenizer(Vocabulary):
    """Text to token ids and back.

    Made by `from_pretrained`, `from_json` or `keras-bert train-tokenizer`. Safe to use from several threads.

    Attributes:
        kind: "wordpiece", "bpe" or "unigram".
        family: "bert", "distilbert", "roberta" or "albert": the models that it was made for.
        model_max_length: the longest input in tokens that the model takes, where the files say so; else None. Nothing
            is cut unless a call gives `max_length`.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        *,
        family: str | None = None,
        names: Mapping[str, str] | None = None,
        model_max_length: int | None = None,
    ):
        """Wrap a pipeline of the `tokenizers` package; its own truncation and padding are switched off.

        Args:
            names: role ("cls", "sep", "pad", "unk", "mask") -> token, where other than usual.

        Raises:
            TokenizerError: another algorithm, no special tokens around a text, or a role's token missing.
        """
        kind = kind_of(backend)
        backend.no_truncation()
        backend.no_padding()
        self._templates = {count: read_template(backend, count) for count in (1, 2)}
        around = [part.token for part in self._templates[1] if part.sequence is None]
        if len(around) < 2:
            raise TokenizerError(
                "the tokenizer adds no special tokens at both ends of a text ([CLS] A [SEP] or the like); "
                "its post-processor is missing"
            )
        # The tokens that really stand around a text are the classification and separator tokens, whatever their names.
        roles = find_roles(backend.token_to_id, {**(names or {}), "cls": around[0], "sep": around[-1]})
        super().__init__(backend, kind, roles)
        self.family = family or {"wordpiece": "bert", "bpe": "roberta", "unigram": "albert"}[kind]
        self.model_max_length = model_max_length

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str]) -> Tokenizer:
        """Read the tokenizer of a checkpoint folder, by the first of these that is there.

        `tokenizer.json`; `vocab.txt` (BERT, DistilBERT); `vocab.json` with `merges.txt` (RoBERTa); `spiece.model`
        (ALBERT). `tokenizer_config.json` and `config.json` beside them are heeded. Where nothing says otherwise, a
        `vocab.txt` is taken as lower-casing unless one of its tokens has an upper-case letter.

        Raises:
            TokenizerError: no such files, or a broken one; the message names it.
        """
        from .reading import read_tokenizer

        return read_tokenizer(directory)

    @classmethod
    def from_json(
        cls,
        text: str,
        *,
        family: str | None = None,
        names: Mapping[str, str] | None = None,
        model_max_length: int | None = None,
        source: str = "tokenizer.json",
    ) -> Tokenizer:
        """Make a tokenizer from the text of a `tokenizer.json`.

        Raises:
            TokenizerError: not a tokenizer of the `tokenizers` package, or not one that a model here can use.
        """
        from .reading import backend_from_json

        backend = backend_from_json(text, source)
        try:
            return cls(backend, family=family, names=names, model_max_length=model_max_length)
        except (TokenizerError, UnicodeError) as error:
            raise TokenizerError(f"{source}: {error}") from error

    # === Text to ids ===

    def encode(
        self,
        text: str,
        pair: str | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = "longest_first",
    ) -> Encoding:
        """Tokenise one text, or a pair of texts, with special tokens around.

        Args:
            max_length: most tokens of the result, special tokens included; None cuts nothing.
            truncation: which text of a pair gives way.

        Raises:
            TokenizerError: not a string, or `max_length` cannot be kept to as asked.
        """
        return self.encode_batch(
            [text], None if pair is None else [pair], max_length=max_length, truncation=truncation
        )[0]

    def encode_batch(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = "longest_first",
    ) -> list[Encoding]:
        """Tokenise many texts or pairs, on all cores; arguments and errors as for `encode`."""
        return [
            join_encodings(self._templates[len(pieces)], pieces, max_length, truncation)
            for pieces in self._run(self._backend.encode_batch, texts, pairs)
        ]

    def __call__(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = "longest_first",
        padding: Padding = "longest",
        pad_to_multiple_of: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Tokenise texts into the arrays that a model takes.

        Args:
            padding: fill rows up to the longest of them, or to `max_length`.
            pad_to_multiple_of: round the row length up to a multiple, though never beyond `max_length`.

        Returns:
            `token_ids`, `padding_mask` (1 for tokens, 0 for padding) and `segment_ids`, int32 [batch, length].

        Raises:
            TokenizerError: as for `encode`, or padding to `max_length` without one.
        """
        if isinstance(texts, str):
            texts, pairs = [texts], [pairs] if isinstance(pairs, str) else pairs
        rows = [
            join_ids(self._templates[len(pieces)], [piece.ids for piece in pieces], max_length, truncation)
            for pieces in self._run(self._backend.encode_batch_fast, texts, pairs)
        ]
        return pad_rows(
            rows, self.pad_id, max_length=max_length, padding=padding, pad_to_multiple_of=pad_to_multiple_of
        )

    def tokenize_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The bare ids of each text, without special tokens, uncut: what pretraining data is made of."""
        return [piece.ids for (piece,) in self._run(self._backend.encode_batch_fast, texts, None)]

    def read_special_tokens_as_text(self) -> None:
        """From now on read a special token that is written in a text ("[MASK]") as any other text."""
        self._backend.encode_special_tokens = True

    def _run(
        self, encode_batch: Callable[..., list[tokenizers.Encoding]], texts: Sequence[str], pairs: Sequence[str] | None
    ) -> list[list[tokenizers.Encoding]]:
        """Each text, or text and its pair, encoded without special tokens."""
        if isinstance(texts, str) or isinstance(pairs, str):
            raise TokenizerError("expected a list of texts, got one string; use encode for a single text")
        count = len(texts)
        if pairs is not None and len(pairs) != count:
            raise TokenizerError(f"texts and pairs must be equally many, got {count} and {len(pairs)}")
        inputs = [*texts, *(pairs if pairs is not None else ())]
        for index, text in enumerate(inputs):
            if not isinstance(text, str):
                name = f"text {index}" if index < count else f"second text {index - count}"
                raise TokenizerError(f"{name}: expected a string, got {type(text).__name__}")
        try:
            pieces = encode_batch(inputs, add_special_tokens=False)
        except (UnicodeError, TypeError):
            # Half a surrogate pair is no character and cannot cross into Rust; one stand-in each keeps offsets true.
            inputs = [_SURROGATES.sub("\ufffd", text) for text in inputs]
            pieces = encode_batch(inputs, add_special_tokens=False)
        except Exception as error:  # the package has no class of its own: a vocabulary without an unknown token, say
            raise TokenizerError(f"this {self.kind} tokenizer cannot read a text: {error}") from error
        return [pieces[index::count] for index in range(count)]

    def decode(self, token_ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """Text that the ids stand for; what normalisation took away (case, accents, spaces) is lost.

        Raises:
            TokenizerError: an id outside the vocabulary.
        """
        ids = [int(token_id) for token_id in token_ids]
        for token_id in ids:
            if not 0 <= token_id < self.vocab_size:
                raise TokenizerError(f"token id {token_id} is outside the vocabulary of {self.vocab_size}")
        return self._backend.decode(ids, skip_special_tokens=skip_special_tokens)

    # === Files ===

    def to_json(self) -> str:
        """The text of a `tokenizer.json`, with no truncation or padding inside."""
        return self._backend.to_str()

    def save(self, directory: str | os.PathLike[str], *, family: str | None = None) -> None:
        """Write `tokenizer.json`, `tokenizer_config.json` and the older vocabulary files of the kind.

        Hugging Face's `AutoTokenizer` opens the folder. The older files are `vocab.txt`, `vocab.json` with
        `merges.txt`, or `spiece.model`.

        Args:
            family: the model's family where it is not this tokenizer's own ("distilbert" for a tokenizer of BERT).
        """
        from .saving import save_tokenizer

        save_tokenizer(self, directory, family or self.family)
