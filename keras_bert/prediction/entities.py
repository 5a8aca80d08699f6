"""Entities in texts, with character offsets, and tags of given words; the same answers as keras_bert_edge gives."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..data.predict import probabilities, tokenizer_of
from ..data.tokens import ReadWords, read_words, words_of_sentences
from ..data.windows import OVERLAP, BareText, WindowMaker, bare_texts
from ..metrics.entities import entity_spans
from .tags import best_legal_path, legal_tags
from .windowed import run_windows


class Entity(NamedTuple):
    """`text[start:end]` is an entity of the kind `label`; `score` is the mean probability of its words' tags."""

    label: str
    text: str
    start: int
    end: int
    score: float


class TaggedWord(NamedTuple):
    """One word, its place in the text, its tag and the tag's probability."""

    text: str
    start: int
    end: int
    tag: str
    score: float


class TokenClassificationResult(NamedTuple):
    """Entities and all words in the order of the text."""

    entities: tuple[Entity, ...]
    words: tuple[TaggedWord, ...]


def find_entities(
    model: Any,
    texts: Sequence[str],
    *,
    batch_size: int = 32,
    max_length: int | None = None,
    overlap: int = OVERLAP,
    on_text: Callable[[int], None] | None = None,
) -> list[TokenClassificationResult]:
    """Entities of texts as they are written, whatever blanks, line ends and emoji are in them.

    Words are the tokenizer's own (its `word_ids`), read at their first tokens; the tags form the most likely sequence
    that IOB2 allows. Long texts are read by windows.

    Args:
        model: a `TokenClassifier` with a tokenizer.
        max_length: longest window in tokens; None, the model's positions.
        overlap: tokens that neighbouring windows share, or half a window where that is less.
        on_text: called with 1 after each text.

    Raises:
        KerasBertError: no tokenizer, or values that are not finite.
    """
    tokenizer = tokenizer_of(model)
    maker = WindowMaker(tokenizer, max_length=_window_length(model, max_length), overlap=overlap)

    def read() -> Iterator[ReadWords]:
        for text, bare in zip(texts, bare_texts(tokenizer, texts), strict=True):
            words = tokenizer_words(text, bare)
            yield read_words(maker, bare, [span for _, span in words], np.array([first for first, _ in words], "int64"))

    results = []
    for text, (spans, tags, scores) in zip(texts, _tagged(model, read(), batch_size), strict=True):
        words = tuple(
            TaggedWord(text[start:end], start, end, tag, score)
            for (start, end), tag, score in zip(spans, tags, scores, strict=True)
        )
        results.append(TokenClassificationResult(group_entities(text, words), words))
        if on_text:
            on_text(1)
    return results


def tag_words(
    model: Any,
    sentences: Sequence[Sequence[str]],
    *,
    batch_size: int = 32,
    max_length: int | None = None,
    overlap: int = OVERLAP,
    on_text: Callable[[int], None] | None = None,
) -> list[list[str]]:
    """A tag for each of the given words: a legal IOB2 sequence a sentence.

    Words go to the tokenizer as in training (see `data.tokens`). A word that the tokenizer gives no token is `O`, where
    the labels have it. Arguments and errors as for `find_entities`.
    """
    window = _window_length(model, max_length)
    read = words_of_sentences(tokenizer_of(model), sentences, max_length=window, overlap=overlap)
    results = []
    for _, tags, _ in _tagged(model, read, batch_size):
        results.append(tags)
        if on_text:
            on_text(1)
    return results


def tokenizer_words(text: str, bare: BareText) -> list[tuple[int, tuple[int, int]]]:
    """The tokenizer's words: first token and (start, end) of each, without the blanks some tokenizers keep.

    A word is a run of tokens of one word id; one of nothing but blanks is none.
    """
    words: list[list[int]] = []
    previous = None
    for index, (word, (start, end)) in enumerate(zip(bare.word_ids, bare.offsets, strict=True)):
        if word is not None and word == previous:
            words[-1][2] = end
        else:
            words.append([index, start, end])
        previous = word
    found = []
    for first, start, end in words:
        inside = text[start:end]
        start += len(inside) - len(inside.lstrip())
        end = start + len(inside.strip())
        if start < end:
            found.append((first, (start, end)))
    return found


def group_entities(text: str, words: Sequence[TaggedWord]) -> tuple[Entity, ...]:
    """Entities of legally tagged words: `B-X` opens, `I-X` of the same kind goes on, anything else closes."""
    entities = []
    for kind, first, last in entity_spans([word.tag for word in words], strict=False):
        start, end = words[first].start, words[last].end
        score = sum(word.score for word in words[first : last + 1]) / (last + 1 - first)
        entities.append(Entity(kind, text[start:end], start, end, score))
    return tuple(entities)


def _tagged(
    model: Any, texts: Iterable[ReadWords], batch_size: int
) -> Iterator[tuple[list[tuple[int, int]], list[str], list[float]]]:
    """(spans, tags, their probabilities) of the words of each text."""
    labels = list(model.labels)
    legal = legal_tags(labels)
    pending: collections.deque[ReadWords] = collections.deque()

    def windows() -> Iterator[Any]:
        for read in texts:
            pending.append(read)
            yield read.windows

    for outputs in run_windows(model, windows(), batch_size=batch_size):
        read = pending.popleft()
        logits = np.zeros((len(read.spans), len(labels)))
        if "O" in labels:
            logits[read.window < 0] = np.where(np.array(labels) == "O", 0.0, -np.inf)
        for index, rows in enumerate(outputs):
            mine = read.window == index
            logits[mine] = rows["output"][read.row[mine]]
        path = best_legal_path(logits, legal)
        scores = probabilities(logits)[np.arange(len(path)), path] if len(path) else np.zeros(0)
        yield read.spans, [labels[tag] for tag in path], scores.tolist()


def _window_length(model: Any, max_length: int | None) -> int:
    return min(max_length or model.config.max_positions, model.config.max_positions)
