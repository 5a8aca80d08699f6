"""Random Unicode against pipelines that others assembled: `tokenizers.implementations`, and `sentencepiece` itself."""

from __future__ import annotations

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
many = settings(max_examples=300, deadline=None)


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


@many
@given(st.text("abcdefghijklmnopqrstuvwxyz ABCXYZ éüößÑ 0123456789,;:!?'’水中 \t\n", max_size=60))
@example("The naïve café, 3,200 ‘people’ of 中国")
def test_unigram_is_sentencepiece(text: str) -> None:
    """ALBERT's own preprocessing, written out here, then the `sentencepiece` package.

    Texts hold no user-defined symbol: after these the two are known to differ (see unigram.py).
    """
    sentencepiece = pytest.importorskip("sentencepiece")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(DATA / "unigram" / "spiece.model"))
    plain = " ".join(text.split()).replace("``", '"').replace("''", '"')
    assume('"' not in plain)
    plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c)).lower()
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
