"""Token classification data: tagged words to windows of tokens, one target a word.

Words go to the tokenizer as one text, joined by a blank, and a token belongs to the word that its offsets start in;
blanks before a word count to it (some tokenizers keep them). A word is read at its first token, in training and in
prediction, and in the window that sees this token with the most text around it. So the same text, written out, gives
the same tokens at the same places, here and on the edge. A word that the tokenizer gives no token (a lone combining
mark, say) is read nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..config import IGNORED_TARGET, EncoderConfig
from ..tokenizers import Tokenizer
from .batches import TokenizedTexts, TokenTargets, batched_dataset, laid_end_to_end
from .classification import inputs_of
from .conll import TaggedSentences, read_tagged_sentences
from .text_file import warn_of
from .windows import OVERLAP, BareText, Window, WindowMaker, bare_texts, widest_context


class ReadWords(NamedTuple):
    """A text's windows, and where each of its words is read.

    Attributes:
        windows: the inputs of the model.
        spans: (start, end) of each word in the text, in characters.
        window, row: int64 [words], the window and the row of its outputs; -1 for a word that is read nowhere.
    """

    windows: list[Window]
    spans: list[tuple[int, int]]
    window: np.ndarray
    row: np.ndarray


def joined(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Words as one text, a blank between them, and the (start, end) of each in characters."""
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    spans = [(int(end) - len(word), int(end)) for word, end in zip(words, ends, strict=True)]
    return " ".join(words), spans


def first_tokens(spans: Sequence[tuple[int, int]], offsets: Sequence[tuple[int, int]]) -> np.ndarray:
    """The first token of each word, int64 [words], -1 for none.

    Args:
        spans: (start, end) of the words, ascending. offsets: (start, end) of the tokens.
    """
    firsts = np.full(len(spans), -1, "int64")
    owners = np.searchsorted([end for _, end in spans], [start for start, _ in offsets], side="right")
    for token in range(len(offsets) - 1, -1, -1):
        if owners[token] < len(spans):
            firsts[owners[token]] = token
    return firsts


def read_words(maker: WindowMaker, text: BareText, spans: list[tuple[int, int]], firsts: np.ndarray) -> ReadWords:
    """Windows over a text, and where its words, given by their first tokens, are read."""
    windows = maker.windows(text.token_ids)
    owner = widest_context(windows, len(text.token_ids))
    read = firsts >= 0
    window, row = np.full(len(firsts), -1, "int64"), np.full(len(firsts), -1, "int64")
    window[read] = owner[firsts[read]]
    starts = np.array([held.first_row - held.start for held in windows])
    row[read] = firsts[read] + starts[window[read]]
    return ReadWords(windows, spans, window, row)


def words_of_sentences(
    tokenizer: Tokenizer, sentences: Sequence[Sequence[str]], *, max_length: int, overlap: int = OVERLAP
) -> Iterator[ReadWords]:
    """Sentences given as words, by the rule of this module.

    Args:
        max_length: longest window in tokens. overlap: tokens that neighbouring windows share.
    """
    maker = WindowMaker(tokenizer, max_length=max_length, overlap=overlap)
    texts, spans = zip(*map(joined, sentences), strict=True) if sentences else ((), ())
    for text, found in zip(bare_texts(tokenizer, texts), spans, strict=True):
        yield read_words(maker, text, found, first_tokens(found, text.offsets))


class TokenExamples(NamedTuple):
    """Windows as model inputs, their targets, and how many words no token stands for (never trained on)."""

    texts: TokenizedTexts
    targets: TokenTargets
    unread_words: int


def token_examples(sentences: Iterable[ReadWords], targets: Sequence[np.ndarray]) -> TokenExamples:
    """Training examples: each word's target at the one row where it is read, `IGNORED_TARGET` everywhere else.

    Args:
        targets: class ids of the words, int [words] a sentence.
    """
    values: list[np.ndarray] = []
    unread = 0

    def rows() -> Iterator[tuple[list[int], list[int]]]:
        nonlocal unread
        for read, wanted in zip(sentences, targets, strict=True):
            unread += int((read.window < 0).sum())
            for index, window in enumerate(read.windows):
                row = np.full(len(window.token_ids), IGNORED_TARGET, "int32")
                mine = read.window == index
                row[read.row[mine]] = wanted[mine]
                values.append(row)
                yield window.token_ids, window.segment_ids

    texts = laid_end_to_end(rows())
    return TokenExamples(texts, TokenTargets(np.concatenate(values or [np.zeros(0, "int32")])), unread)


def token_classification(
    data: str | os.PathLike[str] | TaggedSentences,
    tokenizer: Tokenizer,
    *,
    batch_size: int = 32,
    labels: Sequence[str] | None = None,
    max_length: int = 128,
    overlap: int = OVERLAP,
    shuffle: bool = True,
    seed: int = 0,
    config: EncoderConfig | None = None,
) -> Any:
    """A `tf.data.Dataset` of length-bucketed batches for `TokenClassifier.fit`.

    Targets are int32 [batch, length]: the class of each word at its first token, `IGNORED_TARGET` (-100) elsewhere.

    Args:
        data: a CoNLL file, or sentences read before.
        labels: their order; None takes the file's own. Give the model's for evaluation.
        max_length: longer sentences are cut into windows of this many tokens.
        overlap: tokens that neighbouring windows share, or half a window where that is less.
        shuffle: a new order each epoch, a function of `seed` and the epoch's number; False sorts by length.
        config: of the encoder, for inputs other than BERT's; None derives them from the tokenizer.

    Raises:
        DataError: a bad row or an unknown tag; the message names file and line.
    """
    if not isinstance(data, TaggedSentences):
        data = read_tagged_sentences(data)
        warn_of(data.path, data.problems)
    config = config or inputs_of(tokenizer)
    words = words_of_sentences(
        tokenizer,
        [sentence.words for sentence in data.sentences],
        max_length=min(max_length, config.max_positions),
        overlap=overlap,
    )
    examples = token_examples(words, data.targets(labels or data.label_names()))
    return batched_dataset(examples.texts, examples.targets, config, batch_size=batch_size, shuffle=shuffle, seed=seed)
