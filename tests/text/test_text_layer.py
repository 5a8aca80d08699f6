"""Text in the graph against goldens of `transformers`, and against the host tokenizer on random Unicode."""

from __future__ import annotations

import json
import pathlib
import struct
import sys

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_bert as kb
from keras_bert.errors import MissingExtraError, TokenizerError

pytestmark = pytest.mark.tensorflow_only
tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")

from keras_bert.text import TextPreprocessor  # noqa: E402
from keras_bert.tokenizers.sentencepiece_model import CONTROL, NORMAL, UNKNOWN, SentencePieceModel  # noqa: E402
from keras_bert.tokenizers.unigram import read_sentencepiece  # noqa: E402

DATA = pathlib.Path(__file__).parent.parent / "tokenizers" / "data"
NAMES = ("wordpiece-uncased", "wordpiece-cased", "unigram")
HOST = {name: kb.Tokenizer.from_pretrained(DATA / name) for name in NAMES}
GRAPH = {name: TextPreprocessor(tokenizer) for name, tokenizer in HOST.items()}
GOLDENS = json.loads((DATA / "goldens.json").read_text(encoding="utf-8"))["rows"]
SPECIALS = [("<pad>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN), ("[CLS]", 0.0, CONTROL), ("[SEP]", 0.0, CONTROL)]

FRAGMENTS = ["[MASK]", "<unk>", " [SEP]", "[CLS", "''", "``", "`", "-", "(", ".", "▁", " ", "  ", "\t", "\r\n", "\x00"]
FRAGMENTS += [
    "\x85",
    "\u2028",
    "\u200d",
    "\ufe0f",
    "e\u0301",
    "İ",
    "ß",
    "Σ",
    "ﬁ",
    "①",
    "Ⅳ",
    "中国",
    "각",
    "한국어",
    "ｆｕｌｌ",
]
FRAGMENTS += ["the bridge", "ferry", "don't", "1,000", "😀", "👩\u200d👧", "a" * 100, "a" * 101, "!!!!"]
TEXTS = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(max_codepoint=0x24F), max_size=40),
    st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4)), max_size=9).map("".join),
)


def graph_ids(layer: TextPreprocessor, texts: list[str]) -> list[list[int]]:
    return layer.ids(tf.constant(texts)).to_list()


def assert_same(got: dict, expected: dict) -> None:
    assert sorted(got) == sorted(expected) == ["padding_mask", "segment_ids", "token_ids"]
    for name, value in expected.items():
        assert got[name].dtype == tf.int32
        np.testing.assert_array_equal(got[name].numpy(), value)


@pytest.mark.parametrize("name", NAMES)
def test_goldens(name: str) -> None:
    """Ids and segments that `transformers` gave, pairs and truncation included."""
    rows = [row for row in GOLDENS[name] if row["truncation"] == "longest_first" or row["max_length"] is None]
    assert {row["max_length"] is None for row in rows} == {row["pair"] is None for row in rows} == {True, False}
    batches: dict[tuple, list[dict]] = {}
    for row in rows:
        batches.setdefault((row["max_length"], row["pair"] is None), []).append(row)
    for (max_length, single), batch in batches.items():
        columns = [[row[column] for row in batch] for column in (("text",) if single else ("text", "pair"))]
        got = TextPreprocessor(HOST[name], max_length=max_length)(*map(tf.constant, columns))
        for index, row in enumerate(batch):
            length = int(got["padding_mask"][index].numpy().sum())
            assert got["token_ids"][index, :length].numpy().tolist() == row["token_ids"]
            assert got["segment_ids"][index, :length].numpy().tolist() == row["segment_ids"]


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=20))
def test_random_unicode(texts: list[str]) -> None:
    for name in NAMES:
        assert graph_ids(GRAPH[name], texts) == HOST[name].tokenize_batch(texts)


@pytest.mark.parametrize("name", NAMES)
def test_every_character(name: str) -> None:
    """Each between letters, where it may part a word, vanish, or become others."""
    texts = [f"a{chr(c)}b" for c in (*range(0x3400), *range(0xA000, 0xD800, 7), *range(0xE000, 0x30000, 5))]
    assert graph_ids(GRAPH[name], texts) == HOST[name].tokenize_batch(texts)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6), st.integers(3, 24), st.sampled_from(NAMES))
def test_pairs_cut_and_filled_as_on_the_host(rows: list[tuple[str, str]], max_length: int, name: str) -> None:
    texts, pairs = map(list, zip(*rows, strict=True))
    host = HOST[name]
    cut = TextPreprocessor(host, max_length=max_length)
    static = TextPreprocessor(host, max_length=max_length, padding="max_length")
    assert_same(GRAPH[name](texts, pairs), host(texts, pairs))
    assert_same(cut(texts, pairs), host(texts, pairs, max_length=max_length))
    assert_same(static(texts, pairs), host(texts, pairs, max_length=max_length, padding="max_length"))
    assert_same(static(texts), host(texts, max_length=max_length, padding="max_length"))


@pytest.mark.parametrize("name", NAMES)
def test_in_a_dataset(name: str) -> None:
    texts = ["the ferry", "", "[MASK] at the bridge, again!"] * 3
    layer = TextPreprocessor(HOST[name], max_length=8, padding="max_length")
    dataset = tf.data.Dataset.from_tensor_slices((texts, texts)).batch(4).map(layer)
    assert dataset.element_spec["token_ids"].shape.as_list() == [None, 8]
    batches = list(dataset)
    assert [batch["token_ids"].shape[0] for batch in batches] == [4, 4, 1]
    for start, batch in zip((0, 4, 8), batches, strict=True):
        part = texts[start : start + 4]
        assert_same(batch, HOST[name](part, part, max_length=8, padding="max_length"))


@pytest.mark.parametrize("name", NAMES)
def test_no_text_at_all(name: str) -> None:
    for value in GRAPH[name](tf.constant([], tf.string)).values():
        assert value.shape == (0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_answers_after_the_session_is_cleared(name: str) -> None:
    texts = ["the ferry at the bridge"]
    layer = TextPreprocessor(HOST[name], max_length=12)
    assert_same(layer(texts), HOST[name](texts, max_length=12))
    keras.utils.clear_session()
    assert_same(layer(texts), HOST[name](texts, max_length=12))


@pytest.mark.parametrize("name", NAMES)
def test_inside_a_keras_model_that_is_saved(name: str, tmp_path: pathlib.Path) -> None:
    text = keras.Input((), dtype="string", name="text")
    model = keras.Model(text, TextPreprocessor(HOST[name], max_length=12, name="text_layer")(text))
    texts = ["the ferry", "[MASK] at the bridge, again and again and again!"]
    assert_same(model(tf.constant(texts)), HOST[name](texts, max_length=12))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(loaded(tf.constant(texts)), HOST[name](texts, max_length=12))


# === The documented differences (keras_bert.text), each as it is said to be ===


@pytest.mark.parametrize("marks", ["\U0001d165\U0001d16d", "\u1b44\u302e"])
def test_1_kept_marks_stay_in_order(marks: str) -> None:
    """Combining classes 216, 226; 9, 224: the host sorts by them."""
    tokenizer = wordpiece(["a", *(f"##{mark}" for mark in marks)])
    first, *sorted_marks = (tokenizer.token_to_id(token) for token in ("a", *(f"##{mark}" for mark in marks)))
    texts = [f"a{marks}", f"a{marks[::-1]}"]
    assert tokenizer.tokenize_batch(texts) == [[first, *sorted_marks]] * 2
    assert graph_ids(TextPreprocessor(tokenizer), texts) == [[first, *sorted_marks], [first, *sorted_marks[::-1]]]


def test_2_unknown_token_in_compatibility_characters() -> None:
    host, layer = HOST["unigram"], GRAPH["unigram"]
    text = "＜ｕｎｋ＞"
    assert host.tokenize_batch([text]) == [[host.token_to_id("▁"), host.unk_id]]
    assert graph_ids(layer, [text]) != host.tokenize_batch([text])
    assert graph_ids(layer, ["<unk>"]) == host.tokenize_batch(["<unk>"]) == [[host.unk_id]]


def test_3_accents_that_are_kept_are_not_composed() -> None:
    pieces = [*SPECIALS, ("▁", -1.0, NORMAL), ("e", -1.0, NORMAL), ("é", -1.0, NORMAL), ("\u0301", -1.0, NORMAL)]
    host = unigram(pieces, charsmap("e\u0301", "é"), keep_accents=True)
    start, letter, composed, mark = range(4, 8)
    texts = ["é", "e\u0301"]
    assert host.tokenize_batch(texts) == [[start, composed], [start, composed]]
    assert graph_ids(TextPreprocessor(host), texts) == [[start, composed], [start, letter, mark]]


def test_4_close_scores_are_rounded() -> None:
    pieces = [("▁", -1.0, NORMAL), ("a", -2.0, NORMAL), ("b", -2.0, NORMAL), ("ab", -4.00001, NORMAL)]
    pieces += [("cd", -4.001, NORMAL), ("c", -2.0, NORMAL), ("d", -2.0, NORMAL)]
    host = unigram([*SPECIALS, *pieces])
    layer = TextPreprocessor(host)
    names = ["ab", "cd"]
    assert host.tokenize_batch(names) == [[4, 5, 6], [4, 9, 10]]
    assert graph_ids(layer, names) == [[4, 7], [4, 9, 10]]


def test_equally_likely_cuts_are_the_hosts() -> None:
    """`!!!!` as `! !!!` or `!!! !`: in float32 the order of the sum would decide."""
    pieces = [
        ("▁", -2.7182817, NORMAL),
        ("!", -4.669201, NORMAL),
        ("!!", -5.1415926, NORMAL),
        ("!!!", -6.283185, NORMAL),
    ]
    host = unigram([*SPECIALS, *pieces])
    texts = ["!" * length for length in range(1, 60)]
    assert graph_ids(TextPreprocessor(host), texts) == host.tokenize_batch(texts)


@pytest.mark.parametrize("name", NAMES)
def test_5_bytes_that_are_not_utf8(name: str) -> None:
    layer, host = GRAPH[name], HOST[name]
    got = layer.ids(tf.constant([b"the \xff\xfe ferry \xe4"])).to_list()
    assert got == host.tokenize_batch(["the \ufffd\ufffd ferry \ufffd"])


# === What is refused ===


def test_byte_level_bpe_is_refused() -> None:
    with pytest.raises(TokenizerError, match=r"byte-level BPE .* no op"):
        TextPreprocessor(kb.Tokenizer.from_pretrained(DATA / "bpe"))


def test_added_words_are_refused() -> None:
    tokenizer = wordpiece(["a"])
    tokenizer.add_tokens(["covid"])
    with pytest.raises(TokenizerError, match="'covid'"):
        TextPreprocessor(tokenizer)


def test_another_pipeline_is_refused() -> None:
    content = json.loads(HOST["wordpiece-uncased"].to_json())
    for part in ("normalizer", "pre_tokenizer"):
        changed = {**content, part: {"type": {"normalizer": "NFC", "pre_tokenizer": "Whitespace"}[part]}}
        with pytest.raises(
            TokenizerError, match=r"expected BertNormalizer and BertPreTokenizer; got .*(NFC|Whitespace)"
        ):
            TextPreprocessor(kb.Tokenizer.from_json(json.dumps(changed)))
    content = json.loads(HOST["unigram"].to_json())
    content["pre_tokenizer"]["pretokenizers"][1]["prepend_scheme"] = "never"
    with pytest.raises(TokenizerError, match="unigram tokenizer cannot run in the graph"):
        TextPreprocessor(kb.Tokenizer.from_json(json.dumps(content)))


def test_settings_that_cannot_be_are_refused() -> None:
    host = HOST["wordpiece-uncased"]
    with pytest.raises(TokenizerError, match="needs max_length"):
        TextPreprocessor(host, padding="max_length")
    with pytest.raises(TokenizerError, match="padding must be"):
        TextPreprocessor(host, padding="shortest")
    with pytest.raises(TokenizerError, match="max_length 2 leaves no room for the 3 special tokens"):
        TextPreprocessor(host, max_length=2)(["a"], ["b"])
    for wrong in ([1, 2], [["a"], ["b"]], "a"):
        with pytest.raises(TokenizerError, match=r"expected strings of shape \[batch\]"):
            TextPreprocessor(host)(wrong)


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(MissingExtraError, match=r"extra text: pip install 'keras-bert-toolkit\[text\]'"):
        TextPreprocessor(HOST["wordpiece-uncased"])


def wordpiece(words: list[str]) -> kb.Tokenizer:
    content = json.loads(HOST["wordpiece-uncased"].to_json())
    specials = {token["content"]: token["id"] for token in content["added_tokens"]}
    start = max(specials.values()) + 3  # ids without a token: their places must be kept
    content["model"]["vocab"] = {**specials, **{word: start + index for index, word in enumerate(words)}}
    return kb.Tokenizer.from_json(json.dumps(content))


def unigram(pieces: list[tuple[str, float, int]], charsmap: bytes = b"", keep_accents: bool = False) -> kb.Tokenizer:
    data = SentencePieceModel(tuple(pieces), charsmap).to_bytes()
    return kb.Tokenizer(read_sentencepiece(data, keep_accents=keep_accents), family="albert")


def charsmap(key: str, replacement: str) -> bytes:
    """SentencePiece's compiled character map of one rule: a double array (darts-clone) and the replacements."""
    units, base = [0] * 256 * (len(key.encode()) + 2), 256
    units[0] = base << 10
    for depth, byte in enumerate(key.encode(), start=2):
        place, base = base ^ byte, 256 * depth
        units[place] = byte | (place ^ base) << 10 | (depth == len(key.encode()) + 1) << 8
    units[base] = 1 << 31  # a leaf: the replacement begins at byte 0
    return struct.pack(f"<{len(units) + 1}I", 4 * len(units), *units) + replacement.encode() + b"\0"
