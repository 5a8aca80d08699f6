"""`transformers` opens a saved tokenizer, from tokenizer.json and from the older files, and gives the same ids."""

from __future__ import annotations

import json
import pathlib

import pytest

from keras_bert.tokenizers import Tokenizer

transformers = pytest.importorskip("transformers")

DATA = pathlib.Path(__file__).parents[1] / "tokenizers" / "data"
GOLDENS = json.loads((DATA / "goldens.json").read_text())["rows"]


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("wordpiece-uncased", "bert"),
        ("wordpiece-cased", "bert"),
        ("wordpiece-cased", "distilbert"),
        ("bpe", "roberta"),
        ("unigram", "albert"),
    ],
)
@pytest.mark.parametrize("older", [False, True], ids=["tokenizer.json", "older-files"])
def test_auto_tokenizer(name: str, family: str, older: bool, tmp_path: pathlib.Path) -> None:
    if older and name == "unigram":
        pytest.importorskip("sentencepiece")
    Tokenizer.from_pretrained(DATA / name).save(tmp_path, family=family)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    if older:
        (tmp_path / "tokenizer.json").unlink()
    opened = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for row in GOLDENS[name]:
        if row["max_length"] is None:
            assert opened(row["text"], row["pair"])["input_ids"] == row["token_ids"]
    assert ("token_type_ids" in opened("a")) == (family in ("bert", "albert"))
    assert (opened.pad_token_id, opened.mask_token_id) == (
        Tokenizer.from_pretrained(tmp_path).pad_id,
        Tokenizer.from_pretrained(tmp_path).mask_id,
    )
