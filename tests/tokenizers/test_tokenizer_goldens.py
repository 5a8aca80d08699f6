"""Ids, offsets, words and segments equal those of `transformers`, for all three kinds (see make_goldens.py)."""

from __future__ import annotations

import json
import pathlib

import pytest

from keras_bert.tokenizers import Tokenizer

DATA = pathlib.Path(__file__).parent / "data"
GOLDENS = json.loads((DATA / "goldens.json").read_text())["rows"]


@pytest.fixture(scope="module", params=sorted(GOLDENS))
def named(request: pytest.FixtureRequest) -> tuple[str, Tokenizer]:
    """Each vocabulary with its tokenizer."""
    return request.param, Tokenizer.from_pretrained(DATA / request.param)


@pytest.mark.parametrize("index", range(len(GOLDENS["bpe"])))
def test_encode(named: tuple[str, Tokenizer], index: int) -> None:
    name, tokenizer = named
    golden = GOLDENS[name][index]
    encoding = tokenizer.encode(
        golden["text"], golden["pair"], max_length=golden["max_length"], truncation=golden["truncation"]
    )
    assert encoding.tokens == golden["tokens"]
    assert encoding.token_ids == golden["token_ids"]
    assert encoding.segment_ids == golden["segment_ids"]
    assert [list(offset) for offset in encoding.offsets] == golden["offsets"]
    assert encoding.word_ids == golden["word_ids"]
    assert encoding.sequence_ids == golden["sequence_ids"]
    assert encoding.special_tokens_mask == golden["special_tokens_mask"]
    assert encoding.truncated == golden["truncated"]
    assert len(encoding) == len(golden["token_ids"])


def test_batch_equals_single(named: tuple[str, Tokenizer]) -> None:
    """Batches give the golden ids too, as lists, as padded arrays and as bare ids."""
    name, tokenizer = named
    golden = [row for row in GOLDENS[name] if row["pair"] is None and row["max_length"] is None]
    texts = [row["text"] for row in golden]
    assert [encoding.token_ids for encoding in tokenizer.encode_batch(texts)] == [row["token_ids"] for row in golden]
    features = tokenizer(texts)
    lengths = features["padding_mask"].sum(axis=1)
    for index, row in enumerate(golden):
        count = len(row["token_ids"])
        assert lengths[index] == count
        assert features["token_ids"][index, :count].tolist() == row["token_ids"]
        assert set(features["token_ids"][index, count:].tolist()) <= {tokenizer.pad_id}
        assert features["padding_mask"][index, :count].all()
    assert tokenizer.tokenize_batch(texts) == [row["token_ids"][1:-1] for row in golden]


def test_saved_and_older_files_give_the_same(named: tuple[str, Tokenizer], tmp_path: pathlib.Path) -> None:
    """What `save` writes gives the golden ids again, with tokenizer.json and without it."""
    name, tokenizer = named
    tokenizer.save(tmp_path)
    for removed in ((), ("tokenizer.json",)):
        for file in removed:
            (tmp_path / file).unlink()
        again = Tokenizer.from_pretrained(tmp_path)
        assert again.kind == tokenizer.kind
        assert again.lowercase == tokenizer.lowercase
        assert again.special_ids == tokenizer.special_ids
        for row in GOLDENS[name]:
            if row["max_length"] is None:
                assert again.encode(row["text"], row["pair"]).token_ids == row["token_ids"]
