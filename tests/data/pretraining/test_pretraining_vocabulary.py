"""Where words begin, against the words that the tokenizers themselves report."""

from __future__ import annotations

import numpy as np
import pytest

from keras_bert.data.pretraining.vocabulary import read_vocabulary
from keras_bert.tokenizers.training import train_tokenizer

TEXTS = [
    "the film was a great disappointment",
    "a disappointing greatness of the films",
    "great films disappoint the few",
]


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(("kind", "size"), [("wordpiece", 50), ("bpe", 290), ("unigram", 50)])
def test_words_begin_where_the_tokenizer_says(kind: str, size: int) -> None:
    tokenizer = train_tokenizer(kind, lambda: TEXTS, size)
    vocabulary = read_vocabulary(tokenizer)
    several = 0
    for encoding in tokenizer.encode_batch(TEXTS):
        words = [(i, word) for i, word in zip(encoding.token_ids, encoding.word_ids, strict=True) if word is not None]
        begins = [index == 0 or word != words[index - 1][1] for index, (_, word) in enumerate(words)]
        marks = [bool(vocabulary.starts_word[token]) for token, _ in words]
        # The first token of a sentence has no mark of a space in byte-level BPE; it begins a word all the same.
        assert marks[1:] == begins[1:]
        several += begins.count(False)
    assert several > 5
    specials = [tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id, tokenizer.mask_id, tokenizer.unk_id]
    assert vocabulary.is_special[specials].all()
    assert vocabulary.is_special.sum() == len(tokenizer.special_ids)
    assert not np.isin(specials, vocabulary.ordinary_ids).any()
    assert len(vocabulary.ordinary_ids) == tokenizer.vocab_size - len(tokenizer.special_ids)
    assert vocabulary.segments == (kind != "bpe")
