"""The word cache gives the ids of the `tokenizers` package, for any text."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_bert.tokenizers import Tokenizer
from keras_bert.tokenizers.training import train_tokenizer
from keras_bert.tokenizers.word_cache import WordCache

LINES = (pathlib.Path(__file__).parent / "data" / "corpus.txt").read_text(encoding="utf-8").splitlines()


def make(kind: str, **options: object) -> Tokenizer:
    tokenizer = train_tokenizer(kind, lambda: LINES, 450, **options)  # type: ignore[arg-type]
    tokenizer.add_tokens(["bridge", "co-op"])
    return tokenizer


TOKENIZERS = {
    "wordpiece": make("wordpiece"),
    "wordpiece cased": make("wordpiece", lowercase=False),
    "bpe": make("bpe"),
    "unigram": make("unigram"),
}
# Half a surrogate pair is no character; the tokenizer reads a stand-in.
SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
WORDS = st.sampled_from(
    [
        "the",
        "Bridge",
        "bridge",
        "bridges",
        "co-op",
        "[MASK]",
        "<mask>",
        "</s>",
        "a\u00a0b",
        "it's",
        "3,2",
        "日本",
        "e\u0301",
    ]
)
SPACES = st.sampled_from([" ", " ", " ", "  ", "\t", "\n", "\u00a0", "\u3000", "\x1c", "\x85", "\u200b", "\u2028", ""])
TEXTS = st.lists(st.tuples(st.one_of(WORDS, st.text(max_size=6)), SPACES), max_size=12).map(
    lambda parts: "".join(word + space for word, space in parts)
)


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.one_of(TEXTS, st.sampled_from(LINES)), max_size=6))
@example(texts=["a <mask> b", " <mask>", "<mask> ", "x  y", " lead", "trail ", ""])
@example(texts=["ΟΔΟΣ ΟΔΟΣ.", "İ I", "\u0301 x \u0301", "a\x1cb a\x85b"])
@example(texts=[" ", "a\t b", "a \tb"])
@example(texts=["half \ud800 pair", "the \udc00the"])
def test_ids_are_those_of_the_tokenizers_package(name, texts) -> None:
    tokenizer = TOKENIZERS[name]
    bare = tokenizers.Tokenizer.from_str(tokenizer.to_json())
    bare.encode_special_tokens = True
    # The cache is emptied again and again: 30 characters hold but a few words.
    for capacity in (30, 1 << 20):
        cache = WordCache(tokenizer, np.dtype(np.uint16), capacity)
        for _ in range(2):
            ids, lengths = cache.encode(texts)
            clean = [text.translate(SURROGATES) for text in texts]
            expected = [bare.encode(text, add_special_tokens=False).ids for text in clean]
            if name == "unigram":
                signs = set(tokenizer.special_ids) - {tokenizer.unk_id}
                expected = [[token for token in row if token not in signs] for row in expected]
            assert lengths.tolist() == list(map(len, expected))
            assert ids.tolist() == [token for row in expected for token in row]


def test_special_tokens_in_a_text_are_text() -> None:
    for tokenizer in TOKENIZERS.values():
        ids, _ = WordCache(tokenizer, np.dtype(np.int32)).encode(["the [MASK] [SEP] <mask> </s> [PAD]<pad> end"])
        assert not set(ids.tolist()) & set(tokenizer.special_ids) - {tokenizer.unk_id}
        # The tokenizer itself is left as it was.
        mask = tokenizer.role_token("mask")
        assert tokenizer.tokenize_batch([f"the {mask}"])[0][-1] == tokenizer.mask_id


def test_which_tokenizers_go_word_by_word() -> None:
    by_word = {
        name: WordCache(tokenizer, np.dtype(np.uint16)).split is not None for name, tokenizer in TOKENIZERS.items()
    }
    assert by_word == {"wordpiece": True, "wordpiece cased": True, "bpe": True, "unigram": False}
    spaced = make("wordpiece")
    spaced.add_tokens(["New York"])
    cache = WordCache(spaced, np.dtype(np.int32))
    assert cache.split is None
    assert cache.encode(["in New York"])[0].tolist() == spaced.tokenize_batch(["in New York"])[0]
    assert cache.encode([])[0].dtype == np.int32


def test_words_are_remembered_up_to_the_capacity() -> None:
    cache = WordCache(TOKENIZERS["wordpiece"], np.dtype(np.uint16), capacity=1000)
    for i in range(300):
        cache.encode([f"word{i} the bridge"])
        assert sum(map(len, cache._ids)) <= 1000 + 20
