"""Documents as token ids with sentence boundaries, many of them in a few flat arrays."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import numpy as np

from ..errors import DataError
from ..tokenizers import Tokenizer
from ..tokenizers.word_cache import WordCache
from .corpus import CorpusFormat, Piece, documents
from .sentences import paragraphs, split_sentences
from .shards import token_dtype

SentenceRule = Literal["split", "line"]
# Characters handed to the tokenizer at once: its encodings take about 100 bytes a token until they are dropped.
_BATCH_CHARACTERS = 1 << 18


@dataclasses.dataclass(frozen=True)
class TextRules:
    """How the text of a document becomes sentences.

    Attributes:
        join_lines: lines are hard-wrapped; a paragraph goes on to the next blank line.
        sentences: "split" by rule, or "line": each line (with `join_lines`, each paragraph) is one sentence.
    """

    join_lines: bool = False
    sentences: SentenceRule = "split"

    def __post_init__(self) -> None:
        if self.sentences not in ("split", "line"):
            raise DataError(f"sentences must be split or line, got {self.sentences!r}")

    def apply(self, document: str, *, keep_space: bool = False) -> list[str]:
        """The sentences of a document; for `keep_space` see `split_sentences`."""
        found = paragraphs(document, join_lines=self.join_lines)
        if self.sentences == "line":
            return found
        return [sentence for paragraph in found for sentence in split_sentences(paragraph, keep_space=keep_space)]


@dataclasses.dataclass(frozen=True)
class TokenDocuments:
    """Documents, one after another.

    Attributes:
        token_ids: uint16 or int32 [tokens], no special tokens.
        sentence_lengths: int32 [sentences], tokens of each, none zero.
        token_counts: int64 [documents], tokens of each, none zero.
        sentence_counts: int64 [documents], sentences of each.
    """

    token_ids: np.ndarray
    sentence_lengths: np.ndarray
    token_counts: np.ndarray
    sentence_counts: np.ndarray

    def __len__(self) -> int:
        return len(self.token_counts)

    def slices(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The token ids and the sentence lengths of each document."""
        token_end, sentence_end = 0, 0
        for tokens, sentences in zip(self.token_counts.tolist(), self.sentence_counts.tolist(), strict=True):
            token_start, token_end = token_end, token_end + tokens
            sentence_start, sentence_end = sentence_end, sentence_end + sentences
            yield self.token_ids[token_start:token_end], self.sentence_lengths[sentence_start:sentence_end]


def tokenize_block(
    block: Sequence[Piece],
    words: WordCache,
    corpus: CorpusFormat,
    rules: TextRules,
    on_replaced: Callable[[int], None] | None = None,
) -> TokenDocuments:
    """Tokenise the documents of a block (`corpus.read_blocks`); those without a token are left out.

    Raises:
        DataError: as for `corpus.documents`.
    """
    # To byte-level BPE a word after a space is another token than the same word without one.
    keep_space = words.tokenizer.kind == "bpe"
    texts = itertools.chain.from_iterable(documents(piece, corpus, on_replaced) for piece in block)
    return tokenize_documents((rules.apply(text, keep_space=keep_space) for text in texts), words)


def document_words(tokenizer: Tokenizer) -> WordCache:
    """A word cache whose ids have the type in which shards store them."""
    return WordCache(tokenizer, np.dtype(token_dtype(tokenizer.vocab_size)))


def tokenize_documents(documents: Iterable[Sequence[str]], words: WordCache) -> TokenDocuments:
    """Tokenise documents that are split into sentences; sentences and documents without a token are left out."""
    ids: list[np.ndarray] = [np.zeros(0, words.dtype)]
    lengths: list[np.ndarray] = [np.zeros(0, np.int32)]
    sentence_counts: list[int] = []
    for batch in _batches(documents, sentence_counts):
        batch_ids, batch_lengths = words.encode(batch)
        ids.append(batch_ids)
        lengths.append(batch_lengths)
    every_length = np.concatenate(lengths)
    owner = np.repeat(np.arange(len(sentence_counts)), sentence_counts)
    full = every_length > 0
    token_counts = np.bincount(owner, every_length, len(sentence_counts)).astype(np.int64)
    kept = token_counts > 0
    return TokenDocuments(
        np.concatenate(ids),
        every_length[full],
        token_counts[kept],
        np.bincount(owner[full], minlength=len(sentence_counts)).astype(np.int64)[kept],
    )


def _batches(documents: Iterable[Sequence[str]], sentence_counts: list[int]) -> Iterator[list[str]]:
    """All sentences in batches of a good size; how many each document has is noted in `sentence_counts`."""
    batch: list[str] = []
    size = 0
    for sentences in documents:
        sentence_counts.append(len(sentences))
        for sentence in sentences:
            batch.append(sentence)
            size += len(sentence)
            if size >= _BATCH_CHARACTERS:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch
