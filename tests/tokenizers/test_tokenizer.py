"""Policies, roles and errors of the Tokenizer."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from keras_bert.errors import TokenizerError
from keras_bert.tokenizers import Tokenizer

DATA = pathlib.Path(__file__).parent / "data"
BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write_vocabulary(folder: pathlib.Path, words: list[str]) -> pathlib.Path:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join([*BERT_SPECIALS, *words]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def tokenizer(tmp_path: pathlib.Path) -> Tokenizer:
    """Ids: [PAD] 0 ... [MASK] 4, then a 5, b 6, c 7, d 8."""
    return Tokenizer.from_pretrained(write_vocabulary(tmp_path, ["a", "b", "c", "d"]))


# === Cutting ===


@pytest.mark.parametrize(
    ("first", "second", "max_length", "truncation", "expected"),
    [
        # By hand: the longer gives way until both are equal; an odd token stays with the longer, or the second.
        ("a a a a a", "b b", 10, "longest_first", [2, 5, 5, 5, 5, 5, 3, 6, 6, 3]),
        ("a a a a a", "b b", 8, "longest_first", [2, 5, 5, 5, 3, 6, 6, 3]),
        ("a a a a a", "b b b b", 8, "longest_first", [2, 5, 5, 5, 3, 6, 6, 3]),
        ("a a a a", "b b b b", 8, "longest_first", [2, 5, 5, 3, 6, 6, 6, 3]),
        ("a b", "c c c c c", 8, "longest_first", [2, 5, 6, 3, 7, 7, 7, 3]),
        ("a b c d", "c c c", 8, "only_first", [2, 5, 6, 3, 7, 7, 7, 3]),
        ("a b c d", "c c c", 9, "only_second", [2, 5, 6, 7, 8, 3, 7, 7, 3]),
        ("a", "b", 3, "longest_first", [2, 3, 3]),
    ],
)
def test_pairs_are_cut(tokenizer, first, second, max_length, truncation, expected) -> None:
    encoding = tokenizer.encode(first, second, max_length=max_length, truncation=truncation)
    assert encoding.token_ids == expected
    assert encoding.truncated == (len(first.split()) + len(second.split()) + 3 > max_length)
    features = tokenizer([first], [second], max_length=max_length, truncation=truncation)
    assert features["token_ids"].tolist() == [expected]


def test_single_text_is_cut_and_says_so(tokenizer) -> None:
    encoding = tokenizer.encode("a b c d", max_length=4)
    assert encoding.token_ids == [2, 5, 6, 3]
    assert encoding.truncated
    assert not tokenizer.encode("a b", max_length=4).truncated


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("a",), {"max_length": 1}, "no room for the 2 special tokens"),
        (("a", "b"), {"max_length": 2}, "no room for the 3 special tokens"),
        (("a a", "b b b"), {"max_length": 5, "truncation": "only_first"}, "off the first text, which has 2"),
        (("a a a", "b"), {"max_length": 5, "truncation": "only_second"}, "off the second text, which has 1"),
        (("a a a",), {"max_length": 3, "truncation": "only_second"}, "needs a pair"),
        (("a",), {"max_length": 9, "truncation": "first"}, "truncation must be one of"),
        ((None,), {}, "text 0: expected a string, got NoneType"),
        (("a", 3.5), {}, "second text 0: expected a string, got float"),
    ],
)
def test_what_cannot_be_encoded_is_refused(tokenizer, arguments, options, message) -> None:
    with pytest.raises(TokenizerError, match=message):
        tokenizer.encode(*arguments, **options)


# === Arrays ===


def test_arrays(tokenizer) -> None:
    features = tokenizer(["a", "a b c"], ["d", ""])
    assert {name: array.dtype for name, array in features.items()} == {
        "token_ids": np.int32,
        "padding_mask": np.int32,
        "segment_ids": np.int32,
    }
    assert features["token_ids"].tolist() == [[2, 5, 3, 8, 3, 0], [2, 5, 6, 7, 3, 3]]
    assert features["padding_mask"].tolist() == [[1, 1, 1, 1, 1, 0], [1] * 6]
    assert features["segment_ids"].tolist() == [[0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("options", "length"),
    [
        ({}, 5),
        ({"max_length": 4}, 4),
        ({"padding": "max_length", "max_length": 9}, 9),
        ({"pad_to_multiple_of": 4}, 8),
        ({"pad_to_multiple_of": 4, "max_length": 6}, 6),
        ({"pad_to_multiple_of": 5}, 5),
    ],
)
def test_row_length(tokenizer, options, length) -> None:
    assert {array.shape for array in tokenizer(["a", "a b c"], **options).values()} == {(2, length)}


def test_no_texts_and_one_text(tokenizer) -> None:
    assert tokenizer([])["token_ids"].shape == (0, 0)
    assert tokenizer.encode_batch([]) == []
    assert tokenizer("a", "b")["token_ids"].tolist() == [[2, 5, 3, 6, 3]]


@pytest.mark.parametrize(
    ("texts", "pairs", "options", "message"),
    [
        (["a"], ["b", "c"], {}, "equally many, got 1 and 2"),
        (["a"], None, {"padding": "max_length"}, "needs max_length"),
        (["a"], None, {"padding": "shortest"}, "padding must be"),
        (["a", None], None, {}, "text 1: expected a string"),
    ],
)
def test_bad_batches(tokenizer, texts, pairs, options, message) -> None:
    with pytest.raises(TokenizerError, match=message):
        tokenizer(texts, pairs, **options)


def test_list_methods_refuse_one_string(tokenizer) -> None:
    with pytest.raises(TokenizerError, match="expected a list of texts"):
        tokenizer.encode_batch("a b")


# === Text ===


def test_half_a_surrogate_pair_is_survived(tokenizer) -> None:
    encoding = tokenizer.encode("a \ud800 b")
    assert encoding.token_ids == [2, 5, 6, 3]
    assert encoding.offsets == [(0, 0), (0, 1), (4, 5), (0, 0)]


def test_special_tokens_in_text_are_never_split(tokenizer) -> None:
    encoding = tokenizer.encode("a[MASK] b [mask]")
    assert encoding.token_ids[:4] == [2, 5, 4, 6]
    assert encoding.tokens.count("[MASK]") == 1
    assert encoding.special_tokens_mask[2] == 0


@pytest.mark.parametrize("name", ["wordpiece-uncased", "bpe", "unigram"])
def test_decode(name) -> None:
    tokenizer = Tokenizer.from_pretrained(DATA / name)
    text = "the small boat followed the large boat"
    assert tokenizer.decode(tokenizer.encode(text).token_ids) == text
    assert "boat" in tokenizer.decode(np.array(tokenizer.encode(text).token_ids), skip_special_tokens=False)
    with pytest.raises(TokenizerError, match="token id 99999 is outside"):
        tokenizer.decode([99999])


# === Vocabulary ===


@pytest.mark.parametrize(
    ("name", "kind", "family", "ids"),
    [
        ("wordpiece-uncased", "wordpiece", "bert", {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}),
        ("bpe", "bpe", "roberta", {"cls": 0, "pad": 1, "sep": 2, "unk": 3, "mask": 599}),
        ("unigram", "unigram", "albert", {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}),
    ],
)
def test_roles(name, kind, family, ids) -> None:
    tokenizer = Tokenizer.from_pretrained(DATA / name)
    assert (tokenizer.kind, tokenizer.family) == (kind, family)
    assert {role: getattr(tokenizer, f"{role}_id") for role in ids} == ids
    assert set(tokenizer.special_ids) == set(ids.values())
    assert tokenizer.vocab_size == len(tokenizer.vocab)
    for token, token_id in tokenizer.vocab.items():
        assert tokenizer.token_to_id(token) == token_id
    assert tokenizer.id_to_token(ids["mask"]) == tokenizer.role_token("mask")
    assert tokenizer.id_to_token(10**6) is None
    assert tokenizer.token_to_id("no such token") is None


def test_missing_mask_token_is_named_when_asked_for(tmp_path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    assert tokenizer.encode("a").token_ids == [2, 4, 3]
    with pytest.raises(TokenizerError, match="no mask token"):
        _ = tokenizer.mask_id


def test_vocabulary_must_fit_the_embedding(tokenizer) -> None:
    tokenizer.check_vocabulary(9)
    tokenizer.check_vocabulary(16)
    with pytest.raises(TokenizerError, match="ids up to 8, but the model's embedding has 8 rows"):
        tokenizer.check_vocabulary(8)


def test_added_tokens(tokenizer, tmp_path) -> None:
    assert tokenizer.add_tokens(["zebra", "a"]) == 1
    assert tokenizer.vocab_size == 10
    assert tokenizer.encode("a zebra b zebras").token_ids == [2, 5, 9, 6, 1, 3]
    tokenizer.save(tmp_path / "saved")
    assert Tokenizer.from_pretrained(tmp_path / "saved").encode("a zebra").token_ids == [2, 5, 9, 3]
    with pytest.raises(TokenizerError, match="empty token"):
        tokenizer.add_tokens([" "])


def test_case_is_found_from_the_vocabulary_or_the_settings(tmp_path) -> None:
    cased = write_vocabulary(tmp_path / "cased", ["A", "a"])
    assert not Tokenizer.from_pretrained(cased).lowercase
    assert Tokenizer.from_pretrained(cased).encode("A a").token_ids == [2, 5, 6, 3]
    uncased = write_vocabulary(tmp_path / "uncased", ["a", "é"])
    assert Tokenizer.from_pretrained(uncased).lowercase
    assert Tokenizer.from_pretrained(uncased).encode("A Á É").token_ids == [2, 5, 5, 1, 3]
    (uncased / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "strip_accents": False}))
    assert Tokenizer.from_pretrained(uncased).encode("A É").token_ids == [2, 5, 6, 3]
    (uncased / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    assert Tokenizer.from_pretrained(uncased).encode("A a é").token_ids == [2, 1, 5, 6, 3]
