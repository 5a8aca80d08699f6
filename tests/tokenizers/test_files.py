"""Reading what is there, refusing what is broken, writing what others open."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors

from keras_bert.errors import KerasBertError, TokenizerError
from keras_bert.tokenizers import Tokenizer
from keras_bert.tokenizers.sentencepiece_model import CONTROL, NORMAL, UNKNOWN, USER_DEFINED, SentencePieceModel

DATA = pathlib.Path(__file__).parent / "data"
KINDS = ("wordpiece-uncased", "wordpiece-cased", "bpe", "unigram")
TEXT = "The ferry [MASK] leaves; Émile's <mask> café, 3,200 people."


@pytest.fixture
def folder(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> pathlib.Path:
    """A copy of one of the vocabularies."""
    return pathlib.Path(shutil.copytree(DATA / request.param, tmp_path / "copy"))


# === Broken files ===


@pytest.mark.parametrize(
    ("folder", "name", "content", "message"),
    [
        ("wordpiece-cased", "vocab.txt", b"", "vocab.txt is empty"),
        ("wordpiece-cased", "vocab.txt", b"[PAD]\n[CLS]\n[SEP]\na\n", "vocab.txt has no unk token"),
        ("wordpiece-cased", "vocab.txt", b"[PAD]\n[UNK]\na\nb\na\n", "vocab.txt line 5: token 'a' .* line 3"),
        ("wordpiece-cased", "vocab.txt", b"[PAD]\n\xff\n", "vocab.txt is not UTF-8: .* at byte 6"),
        ("wordpiece-cased", "tokenizer_config.json", b"{", "tokenizer_config.json is not valid JSON"),
        ("wordpiece-cased", "tokenizer_config.json", b"[]", "tokenizer_config.json must hold a JSON object"),
        ("wordpiece-cased", "tokenizer_config.json", b'{"do_lower_case": "no"}', "do_lower_case must be true or false"),
        ("wordpiece-cased", "tokenizer_config.json", b'{"cls_token": "[BOS]"}', r"cls token '\[BOS\]' is not in"),
        ("wordpiece-cased", "tokenizer_config.json", b'{"cls_token": 7}', "cls_token must be a string"),
        ("wordpiece-cased", "tokenizer.json", b"", "tokenizer.json is not valid JSON"),
        ("wordpiece-cased", "tokenizer.json", b"{}", "tokenizer.json has no 'model' entry"),
        ("wordpiece-cased", "tokenizer.json", b'{"model": {"type": "WordPiece"}}', "tokenizer.json is not a usable"),
        ("wordpiece-cased", "tokenizer.json", b"[" * 100_000, "tokenizer.json is not valid JSON"),
        ("bpe", "vocab.json", b'{"a": 1', "vocab.json is not valid JSON"),
        ("bpe", "vocab.json", b"[" * 100_000, "vocab.json is not valid JSON"),
        ("wordpiece-cased", "tokenizer_config.json", rb'{"cls_token": "\ud800"}', "cls token .* is not in"),
        ("bpe", "vocab.json", b'["a"]', "vocab.json must hold a JSON object"),
        ("bpe", "vocab.json", b'{"a": "1"}', "id of token 'a' must be a non-negative integer"),
        ("bpe", "vocab.json", b'{"a": 1, "b": 1}', "tokens 'a' and 'b' have the same id 1"),
        ("bpe", "merges.txt", b"#version: 0.2\nt h\nth e x\n", "merges.txt line 3: expected two tokens"),
        ("bpe", "merges.txt", b"#version: 0.2\nt q\n", "merges.txt line 2: 'tq' is not in the vocabulary"),
        ("unigram", "spiece.model", b"", "spiece.model is not a readable SentencePiece model: it holds no pieces"),
        ("unigram", "spiece.model", b"\x0a\x7f\x01", "spiece.model .* ends inside a field of 127 bytes"),
        ("unigram", "spiece.model", b"\xff" * 40, "spiece.model is not a readable SentencePiece model"),
        ("unigram", "spiece.model", b"\x0a\x02\x0a\x00", "expected one unknown piece, got 0"),
    ],
    indirect=["folder"],
)
def test_broken_file_is_named(folder: pathlib.Path, name: str, content: bytes, message: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.from_pretrained(folder)


@pytest.mark.parametrize("folder", ["unigram"], indirect=True)
def test_googles_name_of_a_sentencepiece_file(folder: pathlib.Path) -> None:
    before = Tokenizer.from_pretrained(folder).encode(TEXT).token_ids
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink(missing_ok=True)
    (folder / "spiece.model").rename(folder / "30k-clean.model")
    assert Tokenizer.from_pretrained(folder).encode(TEXT).token_ids == before


@pytest.mark.parametrize("folder", ["unigram"], indirect=True)
@pytest.mark.parametrize("kind", [5, 6])
def test_unused_pieces_and_bytes_are_refused(folder: pathlib.Path, kind: int) -> None:
    path = folder / "spiece.model"
    model = SentencePieceModel.from_bytes(path.read_bytes(), "it")
    text, score, _ = model.pieces[-1]
    pieces = [*model.pieces[:-1], (text, score, kind)]
    path.write_bytes(dataclasses.replace(model, pieces=pieces).to_bytes())
    (folder / "tokenizer.json").unlink(missing_ok=True)
    with pytest.raises(TokenizerError, match=f"the piece {text!r} is an unused one or a byte"):
        Tokenizer.from_pretrained(folder)


def test_a_vocabulary_without_its_unknown_token(tmp_path: pathlib.Path) -> None:
    backend = json.loads(Tokenizer.from_pretrained(DATA / "wordpiece-cased").to_json())
    backend["model"]["unk_token"] = "[NONE]"
    tokenizer = Tokenizer.from_json(json.dumps(backend))
    with pytest.raises(TokenizerError, match="this wordpiece tokenizer cannot read a text"):
        tokenizer.encode("\u4e9c\u4e9c")


@pytest.mark.parametrize(("folder", "name"), [("bpe", "vocab.json"), ("bpe", "merges.txt")], indirect=["folder"])
def test_missing_half_is_named(folder: pathlib.Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(TokenizerError, match=f"cannot read .*{name}"):
        Tokenizer.from_pretrained(folder)


def test_single_characters_need_no_merges(tmp_path: pathlib.Path) -> None:
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "A": 4, "C": 5, "<mask>": 6}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    assert Tokenizer.from_pretrained(tmp_path).encode("AC<mask>A").token_ids == [0, 4, 5, 6, 4, 2]


def test_an_id_beyond_32_bits(tmp_path: pathlib.Path) -> None:
    (tmp_path / "vocab.json").write_text('{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4294967296}')
    with pytest.raises(TokenizerError, match=r"vocab\.json is not a usable tokenizer"):
        Tokenizer.from_pretrained(tmp_path)


def test_nothing_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(TokenizerError, match=r"holds no tokenizer: expected tokenizer\.json"):
        Tokenizer.from_pretrained(tmp_path)
    with pytest.raises(TokenizerError, match="is not a folder"):
        Tokenizer.from_pretrained(tmp_path / "absent")


@pytest.mark.parametrize("folder", ["unigram"], indirect=True)
def test_every_cut_of_a_sentencepiece_file_is_refused_or_read(folder: pathlib.Path) -> None:
    """No cut crashes; one that falls between two pieces leaves a smaller vocabulary, or one without its specials."""
    data = (folder / "spiece.model").read_bytes()
    refused = 0
    for length in range(0, len(data), 13):
        try:
            SentencePieceModel.from_bytes(data[:length])
        except TokenizerError:
            refused += 1
    assert refused > len(data) / 13 * 0.8


def test_flipped_bytes_never_crash(tmp_path: pathlib.Path) -> None:
    """A flipped byte in a tokenizer.json or spiece.model gives a tokenizer or a TokenizerError, nothing else."""
    Tokenizer.from_pretrained(DATA / "unigram").save(tmp_path)
    for name in ("tokenizer.json", "spiece.model"):
        data = bytearray((tmp_path / name).read_bytes())
        for position in range(0, len(data), len(data) // 150):
            data[position] ^= 0x55
            (tmp_path / name).write_bytes(data)
            try:
                Tokenizer.from_pretrained(tmp_path).encode(TEXT)
            except TokenizerError as error:
                assert name in str(error)  # noqa: PT017
            data[position] ^= 0x55
        (tmp_path / name).unlink()


# === tokenizer.json of others ===


def test_padding_and_truncation_inside_are_switched_off(tmp_path: pathlib.Path) -> None:
    Tokenizer.from_pretrained(DATA / "wordpiece-uncased").save(tmp_path)
    plain = Tokenizer.from_pretrained(tmp_path)
    other = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    other.enable_truncation(4)
    other.enable_padding(length=32)
    other.save(str(tmp_path / "tokenizer.json"))
    again = Tokenizer.from_pretrained(tmp_path)
    assert again.encode(TEXT) == plain.encode(TEXT)
    content = json.loads(again.to_json())
    assert content["truncation"] is None
    assert content["padding"] is None


def test_unknown_algorithm_and_missing_template_are_refused() -> None:
    words = tokenizers.Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    with pytest.raises(TokenizerError, match=r"tokenizer\.json: a tokenizer of type WordLevel is not supported"):
        Tokenizer.from_json(words.to_str())
    bare = tokenizers.Tokenizer(models.WordPiece({"[UNK]": 0, "[PAD]": 1, "a": 2}, unk_token="[UNK]"))
    with pytest.raises(TokenizerError, match="adds no special tokens"):
        Tokenizer.from_json(bare.to_str())


def test_a_pipeline_of_its_own_is_saved_as_it_stands(tmp_path: pathlib.Path) -> None:
    """No older vocabulary file could say how it splits: only tokenizer.json is written, under the generic class."""
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5, "ab": 6}
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, [("a", "b")], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.BPEDecoder()
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer = Tokenizer(backend)
    assert tokenizer.encode("ab ba x", "a").token_ids == [0, 6, 5, 4, 3, 2, 2, 4, 2]
    tokenizer.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert Tokenizer.from_pretrained(tmp_path).encode("ab ba").token_ids == [0, 6, 5, 4, 2]


# === Saving ===


@pytest.mark.parametrize(
    ("name", "files", "tokenizer_class", "inputs"),
    [
        ("wordpiece-uncased", {"vocab.txt"}, "BertTokenizer", ["input_ids", "token_type_ids", "attention_mask"]),
        ("bpe", {"vocab.json", "merges.txt"}, "RobertaTokenizer", ["input_ids", "attention_mask"]),
        ("unigram", {"spiece.model"}, "AlbertTokenizer", ["input_ids", "token_type_ids", "attention_mask"]),
    ],
)
def test_saved_files(name, files, tokenizer_class, inputs, tmp_path) -> None:
    Tokenizer.from_pretrained(DATA / name).save(tmp_path / "saved")
    written = {path.name for path in (tmp_path / "saved").iterdir()}
    assert written == {"tokenizer.json", "tokenizer_config.json", *files}
    config = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == tokenizer_class
    assert config["model_input_names"] == inputs
    for file in files - {"spiece.model", "vocab.json"}:
        lines = (DATA / name / file).read_text(encoding="utf-8")
        assert (tmp_path / "saved" / file).read_text(encoding="utf-8") == lines


def test_family_of_the_model_decides_the_class(tmp_path: pathlib.Path) -> None:
    """DistilBERT's models take no token_type_ids, so its tokenizer must not make them."""
    tokenizer = Tokenizer.from_pretrained(DATA / "wordpiece-uncased")
    tokenizer.save(tmp_path, family="distilbert")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "DistilBertTokenizer"
    assert config["model_input_names"] == ["input_ids", "attention_mask"]
    assert Tokenizer.from_pretrained(tmp_path).family == "distilbert"


def test_model_max_length_is_kept(tmp_path: pathlib.Path) -> None:
    shutil.copytree(DATA / "wordpiece-uncased", tmp_path / "a")
    for value, expected in ((256, 256), (1e30, None)):
        (tmp_path / "a" / "tokenizer_config.json").write_text(json.dumps({"model_max_length": value}))
        Tokenizer.from_pretrained(tmp_path / "a").save(tmp_path / "b")
        assert Tokenizer.from_pretrained(tmp_path / "b").model_max_length == expected


def test_nothing_half_written(tmp_path: pathlib.Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(KerasBertError, match="taken"):
        Tokenizer.from_pretrained(DATA / "bpe").save(tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


# === spiece.model ===


def test_sentencepiece_file_round_trip() -> None:
    model = SentencePieceModel(
        (("<unk>", 0.0, UNKNOWN), ("[CLS]", 0.0, CONTROL), ("-", 0.0, USER_DEFINED), ("▁a", -1.5, NORMAL)), b"map" * 99
    )
    assert SentencePieceModel.from_bytes(model.to_bytes()) == model


def test_sentencepiece_opens_what_is_written() -> None:
    """The package itself reads our file as it read the one it made."""
    sentencepiece = pytest.importorskip("sentencepiece")
    data = (DATA / "unigram" / "spiece.model").read_bytes()
    original = sentencepiece.SentencePieceProcessor(model_proto=data)
    ours = sentencepiece.SentencePieceProcessor(model_proto=SentencePieceModel.from_bytes(data).to_bytes())
    assert ours.vocab_size() == original.vocab_size()
    for text in ("the small boat - followed", "“why?” he asked… twice", "北京 is (not) far"):
        assert ours.encode(text) == original.encode(text)
    assert [ours.id_to_piece(index) for index in range(420)] == [original.id_to_piece(index) for index in range(420)]
