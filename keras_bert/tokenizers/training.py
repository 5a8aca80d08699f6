"""New vocabularies from text: WordPiece, byte-level BPE and Unigram, the same for every run over the same text."""

from __future__ import annotations

import collections
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from ..errors import TokenizerError
from .bpe import build_byte_level_bpe
from .special_tokens import ALBERT_SPECIALS, BERT_SPECIALS, ROBERTA_SPECIALS
from .tokenizer import Tokenizer
from .unigram import build_unigram
from .vocabulary import Kind
from .wordpiece import build_wordpiece

# A pair of pieces, or a word, that occurs once is no pattern.
MIN_FREQUENCY = 2
# Digits of a Unigram score that are kept: the rest is noise of the order in which the trainer adds numbers.
SCORE_DIGITS = 6
# How far apart the Unigram trainer puts the scores of the characters that it must keep but did not learn.
RARE_CHARACTER_STEP = 1e-4

Texts = Callable[[], Iterable[str]]


def train_tokenizer(
    kind: Kind, texts: Texts, vocab_size: int, *, lowercase: bool | None = None, max_alphabet: int = 1000
) -> Tokenizer:
    """Learn a vocabulary.

    Args:
        kind: "wordpiece" with BERT's special tokens and ids ([PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4), "bpe" with
            RoBERTa's (<s> 0, <pad> 1, </s> 2, <unk> 3, <mask> last), "unigram" with ALBERT's (<pad> 0, <unk> 1,
            [CLS] 2, [SEP] 3, [MASK] 4).
        texts: called for each pass over the corpus (WordPiece makes two or three), gives the texts; only counts are
            held in memory.
        vocab_size: entries to learn, special tokens included; fewer come out where the corpus has no more patterns.
        lowercase: lower-case the texts and strip accents; None: as the papers' models do (WordPiece and Unigram yes,
            BPE no).
        max_alphabet: WordPiece keeps this many of the most frequent characters; Chinese or Japanese need about 8,000.

    Raises:
        TokenizerError: no text, or `vocab_size` too small for the alphabet.
    """
    lowercase = kind != "bpe" if lowercase is None else lowercase
    counted = _Counted(texts)
    if kind == "wordpiece":
        tokenizer = _train_wordpiece(counted, vocab_size, lowercase, max_alphabet)
    elif kind == "bpe":
        tokenizer = _train_bpe(counted, vocab_size, lowercase)
    elif kind == "unigram":
        tokenizer = _train_unigram(counted, vocab_size, lowercase)
    else:
        raise TokenizerError(f"kind must be 'wordpiece', 'bpe' or 'unigram', got {kind!r}")
    if counted.num_texts == 0:
        raise TokenizerError("the corpus holds no text")
    if tokenizer.vocab_size > vocab_size:
        raise TokenizerError(
            f"a vocabulary of {vocab_size} is too small: special tokens and single characters alone are "
            f"{tokenizer.vocab_size}"
        )
    return tokenizer


class _Counted:
    """Passes over the texts, counting them."""

    def __init__(self, texts: Texts):
        self._texts = texts
        self.num_texts = 0

    def __iter__(self):
        for text in self._texts():
            self.num_texts += 1
            yield text


def _train_wordpiece(texts: Iterable[str], vocab_size: int, lowercase: bool, max_alphabet: int) -> Tokenizer:
    start = {token: index for index, token in enumerate(BERT_SPECIALS)}
    backend = build_wordpiece(start, lowercase=lowercase)

    def learn(size: int, first: list[str], alphabet: list[str]) -> dict[str, int]:
        trainer = trainers.WordPieceTrainer(
            vocab_size=size,
            min_frequency=MIN_FREQUENCY,
            special_tokens=[*BERT_SPECIALS, *first],
            initial_alphabet=alphabet,
            limit_alphabet=len(alphabet) or sys.maxunicode,
            continuing_subword_prefix="##",
            show_progress=False,
        )
        learner = tokenizers.Tokenizer(models.WordPiece(start, unk_token="[UNK]"))
        learner.normalizer, learner.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
        learner.train_from_iterator(texts, trainer)
        return _model(learner)["vocab"]

    # The trainer numbers the single `##` characters in the order of a randomly seeded hash table, and breaks ties by
    # these numbers. A first pass finds the characters; given in sorted order, they make the second the same each time.
    characters = learn(0, [], []).keys() - set(BERT_SPECIALS)
    alphabet = sorted(token for token in characters if len(token) == 1)
    if len(alphabet) > max_alphabet:
        counts: collections.Counter[str] = collections.Counter()
        for text in texts:
            counts.update(backend.normalizer.normalize_str(text))
        alphabet = sorted(sorted(alphabet, key=lambda character: (-counts[character], character))[:max_alphabet])
    kept = set(alphabet)
    inner = sorted(token for token in characters if len(token) == 3 and token[2] in kept)
    return Tokenizer(build_wordpiece(learn(vocab_size, [*alphabet, *inner], alphabet), lowercase=lowercase))


def _train_bpe(texts: Iterable[str], vocab_size: int, lowercase: bool) -> Tokenizer:
    *first, mask = ROBERTA_SPECIALS
    backend = tokenizers.Tokenizer(models.BPE())
    normalizer = _lower_without_accents() if lowercase else None
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        min_frequency=MIN_FREQUENCY,
        special_tokens=first,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    model = _model(backend)
    vocabulary = {**model["vocab"], mask: len(model["vocab"])}
    merges = [(left, right) for left, right in model["merges"]]
    trained = build_byte_level_bpe(vocabulary, merges)
    if normalizer is not None:
        trained.normalizer = normalizer
    return Tokenizer(trained)


def _train_unigram(texts: Iterable[str], vocab_size: int, lowercase: bool) -> Tokenizer:
    start = [(token, 0.0) for token in ALBERT_SPECIALS]
    unk_id = ALBERT_SPECIALS.index("<unk>")
    fixed = [(token, True) for token in ALBERT_SPECIALS]
    backend = build_unigram(start, unk_id, fixed=fixed, lowercase=lowercase, keep_accents=not lowercase)
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=list(ALBERT_SPECIALS), unk_token="<unk>", show_progress=False
    )
    try:
        backend.train_from_iterator(texts, trainer)
    except Exception as error:
        if "not large enough" not in str(error):
            raise
        raise TokenizerError(
            f"a vocabulary of {vocab_size} is too small to hold the corpus's single characters"
        ) from error
    learnt = [(piece, score) for piece, score in _model(backend)["vocab"] if piece not in ALBERT_SPECIALS]
    learnt = _settled(learnt)
    return Tokenizer(
        build_unigram([*start, *learnt], unk_id, fixed=fixed, lowercase=lowercase, keep_accents=not lowercase)
    )


def _settled(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """The same pieces for every run, best first, whatever the seed of the trainer's hash tables.

    Characters too rare to be learnt get the lowest score plus 0, 1, 2, ... steps, in the order of a hash table; here
    they get these scores in their own order. The last digits of all scores are the noise of sums taken in any order.
    """
    lowest = min((score for _, score in pieces), default=0.0)
    steps = {piece: (score - lowest) / RARE_CHARACTER_STEP for piece, score in pieces if len(piece) == 1}
    rare = {piece for piece, step in steps.items() if abs(step - round(step)) < 1e-4}
    shared = sorted((score for piece, score in pieces if piece in rare), reverse=True)
    scores = dict(pieces) | dict(zip(sorted(rare), shared, strict=True))
    rounded = [(piece, round(score, SCORE_DIGITS)) for piece, score in scores.items()]
    return sorted(rounded, key=lambda entry: (-entry[1], entry[0]))


def _lower_without_accents() -> normalizers.Normalizer:
    return normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()])


def _model(backend: tokenizers.Tokenizer) -> dict[str, Any]:
    """The model part of the tokenizer's description; its vocabulary is in the order of ids."""
    model = json.loads(backend.to_str())["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    return model
