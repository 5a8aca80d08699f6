"""Random Unicode against pipelines that others assembled: `tokenizers.implementations`, and `sentencepiece` itself."""

from __future__ import annotations

import os
import pathlib
import unicodedata

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from tokenizers.implementations import BertWordPieceTokenizer, ByteLevelBPETokenizer

from keras_bert.tokenizers import Tokenizer

DATA = pathlib.Path(__file__).parent / "data"
UNCASED = Tokenizer.from_pretrained(DATA / "wordpiece-uncased")
CASED = Tokenizer.from_pretrained(DATA / "wordpiece-cased")
BPE = Tokenizer.from_pretrained(DATA / "bpe")
UNIGRAM = Tokenizer.from_pretrained(DATA / "unigram")

FRAGMENTS = ("[MASK]", "<mask>", "<s>", " [SEP] ", "[UNK]", " ", "  ", "\t", "\r\n", "''", "``", "中文", "ﬁ", "e\u0301")
FRAGMENTS += (
    "İ",
    "ß",
    "1,000,",
    "don't",
    "-",
    ".",
    "😀",
    "👩\u200d👧",
    "\u00a0",
    "▁",
    "##",
    "Ġ",
    "ferry",
    "the bridge",
)
TEXTS = st.one_of(
    st.text(max_size=50),
    st.text(st.characters(max_codepoint=0x17F), max_size=50),
    st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=5)), max_size=9).map("".join),
)
# `RANDOM_TEXTS=10000 pytest tests/tokenizers/test_random_text.py` looks harder.
many = settings(max_examples=int(os.environ.get("RANDOM_TEXTS", "300")), deadline=None)


def reference_wordpiece(name: str, lowercase: bool) -> BertWordPieceTokenizer:
    return BertWordPieceTokenizer(str(DATA / name / "vocab.txt"), lowercase=lowercase)


REFERENCE_UNCASED = reference_wordpiece("wordpiece-uncased", True)
REFERENCE_CASED = reference_wordpiece("wordpiece-cased", False)
REFERENCE_BPE = ByteLevelBPETokenizer.from_file(str(DATA / "bpe" / "vocab.json"), str(DATA / "bpe" / "merges.txt"))
REFERENCE_BPE.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)])


@many
@given(TEXTS)
def test_wordpiece(text: str) -> None:
    for ours, reference in ((UNCASED, REFERENCE_UNCASED), (CASED, REFERENCE_CASED)):
        expected = reference.encode(text)
        encoding = ours.encode(text)
        assert encoding.token_ids == expected.ids
        assert encoding.offsets == expected.offsets
        assert encoding.word_ids == expected.word_ids


@many
@given(TEXTS)
def test_byte_level_bpe(text: str) -> None:
    assert BPE.encode(text).token_ids[1:-1] == REFERENCE_BPE.encode(text).ids
    # No text is unknown: but for special tokens and the spaces that <mask> takes, decoding gives it back.
    if not any(BPE.role_token(role) in text for role in ("cls", "sep", "pad", "unk", "mask")):
        assert BPE.decode(BPE.encode(text).token_ids) == text


def is_newer_mark(character: str) -> bool:
    """Marks and modifiers that Unicode got after 3.2: of some the Rust tables of `tokenizers` know nothing yet."""
    kind = unicodedata.category(character)
    return (kind[0] == "M" or kind == "Lm") and unicodedata.ucd_3_2_0.category(character) == "Cn"


def albert_text(text: str) -> str:
    """ALBERT's own preprocessing, written out, with the marks that `tokenizers` calls accents (Mn, Mc, Me)."""
    plain = " ".join(text.split()).replace("``", '"').replace("''", '"')
    decomposed = unicodedata.normalize("NFKD", plain)
    return "".join(c for c in decomposed if unicodedata.category(c)[0] != "M").lower()


SYMBOLS = '().-"£<[▁'
PLAIN_TEXTS = st.one_of(
    st.text(st.characters(exclude_characters=SYMBOLS, exclude_categories=["Cs", "Cc"]), max_size=50),
    st.text(st.characters(max_codepoint=0x17F, exclude_characters=SYMBOLS, exclude_categories=["Cc"]), max_size=50),
    st.text("abcdefghijklmnopqrstuvwxyz ABCXYZ éüößÑ 0123456789,;:!?'’水中 \t\n", max_size=60),
)


@many
@given(PLAIN_TEXTS)
@example("The naïve café, 3,200 ‘people’ of 中国")
@example("a\u093e b")
def test_unigram_is_sentencepiece(text: str) -> None:
    """Against the `sentencepiece` package.

    Texts hold no `▁` and no user-defined symbol: after these the two are known to differ (see unigram.py); no special
    token, which `tokenizers` alone reads in a text (`<PAD>` too, once it is in lower case); and no control characters,
    which SentencePiece drops with the space before them.
    """
    sentencepiece = pytest.importorskip("sentencepiece")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(DATA / "unigram" / "spiece.model"))
    plain = albert_text(text)
    assume(not any(symbol in plain for symbol in SYMBOLS) and not any(map(is_newer_mark, text)))
    assert UNIGRAM.encode(text).token_ids[1:-1] == processor.encode(plain)


@many
@given(TEXTS, TEXTS, st.integers(4, 30), st.sampled_from([UNCASED, CASED, BPE, UNIGRAM]))
def test_what_holds_for_any_text(text: str, pair: str, max_length: int, tokenizer: Tokenizer) -> None:
    whole = tokenizer.encode(text, pair)
    cut = tokenizer.encode(text, pair, max_length=max_length)
    assert len(cut) == min(len(whole), max_length)
    assert cut.truncated == (len(whole) > max_length)
    features = tokenizer([text], [pair], max_length=max_length)
    assert features["token_ids"][0].tolist() == cut.token_ids
    assert features["segment_ids"][0].tolist() == cut.segment_ids
    assert max(whole.token_ids) < tokenizer.vocab_size
    previous = {0: 0, 1: 0}
    for (start, end), sequence in zip(whole.offsets, whole.sequence_ids, strict=True):
        if sequence is not None:
            assert previous[sequence] <= end <= len((text, pair)[sequence])
            assert start <= end
            previous[sequence] = start
