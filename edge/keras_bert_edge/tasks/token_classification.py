"""Entities with character offsets, from BIO tags of words."""

from typing import NamedTuple

import numpy as np

from .checks import require_outputs, require_single_text
from .windows import WindowMaker, widest_context


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
    """Entities and all words in the order of the text. Long texts are read by windows, so nothing is truncated."""

    entities: tuple[Entity, ...]
    words: tuple[TaggedWord, ...]
    truncated: bool


class TokenClassification:
    """Tags are read at the first sub-token of each word, as in training; words are the tokenizer's own."""

    OPTIONS = ()
    READS_PAIRS = False
    ONE_RUN = False

    def __init__(self, manifest, engine, tokenizer, path):
        require_outputs(engine, {"logits": len(manifest.labels)}, path)
        self._engine = engine
        self._tokenizer = tokenizer
        self._labels = manifest.labels
        self._windows = WindowMaker(tokenizer, False, path)
        self._start, self._follows = legal_tags(manifest.labels)

    def __call__(self, text, pair=None):
        require_single_text("token_classification", pair)
        encoding = self._tokenizer.encode(text, special_tokens=False)
        words = find_words(text, encoding)
        if not words:
            return TokenClassificationResult((), (), False)
        windows = self._windows.windows(encoding.ids)
        owner = widest_context(windows, len(encoding.ids))
        rows = np.empty((len(words), len(self._labels)), np.float64)
        firsts = np.array([first for first, _, _ in words])
        for index, window in enumerate(windows):
            logits = self._engine.run(window.token_ids, window.segment_ids)["logits"][0]
            mine = owner[firsts] == index
            rows[mine] = logits[firsts[mine] - window.start + window.first_row]
        path = best_legal_path(rows, self._start, self._follows)
        probabilities = np.exp(rows - rows.max(-1, keepdims=True))
        scores = (probabilities[np.arange(len(path)), path] / probabilities.sum(-1)).tolist()
        tagged = tuple(
            TaggedWord(text[start:end], start, end, self._labels[tag], score)
            for (_, start, end), tag, score in zip(words, path.tolist(), scores)
        )
        return TokenClassificationResult(group_entities(text, tagged), tagged, False)

    def describe(self, result):
        """`[LABEL text]` for each entity, in order."""
        return " ".join(f"[{entity.label} {' '.join(entity.text.split())}]" for entity in result.entities)


def find_words(text, encoding):
    """[first token, start, end] of each word: neighbours of one word id, without the spaces some tokenizers keep."""
    words: list[list[int]] = []
    previous = None
    for index, (word, (start, end)) in enumerate(zip(encoding.word_ids, encoding.offsets)):
        if word is not None and word == previous:
            words[-1][2] = end
        else:
            words.append([index, start, end])
        previous = word
    for word in words:
        inside = text[word[1] : word[2]]
        word[1] += len(inside) - len(inside.lstrip())
        word[2] = word[1] + len(inside.strip())
    return [word for word in words if word[1] < word[2]]


def legal_tags(labels):
    """Which tags may start a text, bool [tags], and which may follow which, bool [tags before, tags after].

    I-X follows only B-X or I-X, unless the labels know no B-X. Labels without these prefixes are free.
    """
    start = np.array([not (label.startswith("I-") and "B-" + label[2:] in labels) for label in labels])
    follows = np.tile(start, (len(labels), 1))
    for before, label in enumerate(labels):
        if label[:2] in ("B-", "I-") and "I-" + label[2:] in labels:
            follows[before, labels.index("I-" + label[2:])] = True
    return start, follows


def best_legal_path(logits, start, follows):
    """The legal tag sequence of the highest total logit (Viterbi): int [words] from [words, tags].

    Logits serve as they are: the softmax of a word subtracts the same from all its tags. Where the words' own best tags
    are legal together, nothing is better.
    """
    own = logits.argmax(-1)
    if start[own[0]] and follows[own[:-1], own[1:]].all():
        return own
    penalty = np.where(follows, 0.0, -np.inf)
    best = np.where(start, logits[0], -np.inf)
    back = np.zeros(logits.shape, np.int64)
    for word in range(1, len(logits)):
        candidates = best[:, None] + penalty
        back[word] = candidates.argmax(0)
        best = candidates.max(0) + logits[word]
    path = np.empty(len(logits), np.int64)
    path[-1] = best.argmax()
    for word in range(len(logits) - 1, 0, -1):
        path[word - 1] = back[word, path[word]]
    return path


def group_entities(text, words):
    """Entities of legally tagged words: B-X opens, I-X of the same kind goes on, anything else closes."""
    groups: list[list[TaggedWord]] = []
    open_label = None
    for word in words:
        prefix, label = word.tag[:2], word.tag[2:]
        if prefix == "I-" and label == open_label:
            groups[-1].append(word)
        elif prefix in ("B-", "I-"):
            groups.append([word])
            open_label = label
        else:
            open_label = None
    return tuple(
        Entity(
            group[0].tag[2:],
            text[group[0].start : group[-1].end],
            group[0].start,
            group[-1].end,
            sum(word.score for word in group) / len(group),
        )
        for group in groups
    )
