"""Vocabularies trimmed to a corpus: the same tokens on it, special tokens and positions where they belong."""

import pathlib

import numpy as np
import pytest
from harness import TINY, arrays, randomize
from keras_bert_tools.compression.vocabulary import trim_vocabulary, unknown_share

import keras_bert as kb
from keras_bert.errors import DataError, TokenizerError
from keras_bert.models.structure import keep_tokens

DATA = pathlib.Path(__file__).parents[1] / "tokenizers" / "data"
KINDS = {"wordpiece-uncased": "bert", "wordpiece-cased": "distilbert", "bpe": "roberta", "unigram": "albert"}
CORPUS = (DATA / "corpus.txt").read_text(encoding="utf-8").splitlines()[:12]
OTHER = ["A quite different sentence, with words unseen: zebra 42!", "naïve café — 東京 🙂", "x"]


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    return kb.Tokenizer.from_pretrained(DATA / request.param)


def test_corpus_is_read_as_before(tokenizer):
    trimmed = trim_vocabulary(tokenizer, CORPUS)
    assert trimmed.tokenizer.vocab_size == len(trimmed.kept_ids) < tokenizer.vocab_size
    for old, new in zip(
        tokenizer.encode_batch(CORPUS, CORPUS[::-1]), trimmed.tokenizer.encode_batch(CORPUS, CORPUS[::-1]), strict=True
    ):
        assert trimmed.kept_ids[new.token_ids].tolist() == old.token_ids
        assert new.segment_ids == old.segment_ids
    for token, token_id in trimmed.tokenizer.vocab.items():
        assert tokenizer.token_to_id(token) == trimmed.kept_ids[token_id]
    for role in ("cls", "sep", "pad", "unk", "mask"):
        assert trimmed.tokenizer.role_token(role) == tokenizer.role_token(role)
    assert (trimmed.length_ratio, trimmed.unknown_after) == (1.0, trimmed.unknown_before)
    assert trimmed.tokenizer.pad_id == tokenizer.pad_id


def test_saved_and_opened_again(tokenizer, tmp_path):
    trimmed = trim_vocabulary(tokenizer, CORPUS).tokenizer
    trimmed.save(tmp_path)
    again = kb.Tokenizer.from_pretrained(tmp_path)
    for text in (*CORPUS, *OTHER):
        assert again.encode(text).token_ids == trimmed.encode(text).token_ids
    (tmp_path / "tokenizer.json").unlink()
    older = kb.Tokenizer.from_pretrained(tmp_path)
    assert older.encode_batch(CORPUS)[0].token_ids == trimmed.encode_batch(CORPUS)[0].token_ids


def test_size_asked_for(tokenizer):
    exact = len(trim_vocabulary(tokenizer, CORPUS).kept_ids)
    larger = trim_vocabulary(tokenizer, CORPUS, exact + 20)
    assert len(larger.kept_ids) == exact + 20
    assert larger.length_ratio == 1.0
    smaller = trim_vocabulary(tokenizer, CORPUS, exact - 15)
    assert len(smaller.kept_ids) == exact - 15
    assert smaller.length_ratio > 1.0
    assert smaller.unknown_after == smaller.unknown_before
    text = tokenizer.decode(tokenizer.encode(CORPUS[3]).token_ids)
    assert smaller.tokenizer.decode(smaller.tokenizer.encode(CORPUS[3]).token_ids) == text


def test_model_and_tokenizer_together(tokenizer, tmp_path):
    family = tokenizer.family
    config = TINY[family].replace(vocab_size=tokenizer.vocab_size, pad_token_id=tokenizer.pad_id, max_positions=64)
    model = kb.SequenceClassifier(kb.Encoder(config), 2, tokenizer=tokenizer)
    randomize(model)
    trimmed = trim_vocabulary(tokenizer, CORPUS)
    smaller = keep_tokens(model, trimmed.kept_ids, trimmed.tokenizer)
    smaller.save_pretrained(tmp_path)
    smaller = kb.SequenceClassifier.from_pretrained(tmp_path)
    assert smaller.encoder.embeddings.token_table.shape[0] == len(trimmed.kept_ids)

    def logits(of):
        inputs = of.tokenizer(CORPUS[:4], max_length=60)
        if not of.config.uses_segments:
            del inputs["segment_ids"]
        return arrays(of(inputs))["output"]

    np.testing.assert_allclose(logits(smaller), logits(model), atol=1e-6)


def test_refused(tokenizer):
    with pytest.raises(DataError, match="no text"):
        trim_vocabulary(tokenizer, ["", ""])
    with pytest.raises(TokenizerError, match="too small"):
        trim_vocabulary(tokenizer, CORPUS, 6)
    with pytest.raises(TokenizerError, match="fewer than"):
        trim_vocabulary(tokenizer, CORPUS, tokenizer.vocab_size)


def test_unknown_share_of_another_language():
    tokenizer = kb.Tokenizer.from_pretrained(DATA / "wordpiece-uncased")
    ids = np.concatenate(tokenizer.tokenize_batch(["ქართული ენა", "the"]))
    assert unknown_share(tokenizer, ids) == np.mean([t == "[UNK]" for t in map(tokenizer.id_to_token, ids.tolist())])
    assert unknown_share(tokenizer, ids) > 0.5
