"""Altered copies of texts, against what may and must change in them."""

import numpy as np
import pytest
from keras_bert_tools.compression.altered import (
    HIDDEN,
    PHRASE,
    REPLACED,
    SPLICED,
    altered_copies,
    in_ids,
    joined,
    joined_targets,
    with_copies,
)

import keras_bert as kb
from keras_bert.data.batches import TokenTargets, laid_end_to_end, tokenize

# Letters make words of one, two and three tokens; each text's words are its own.
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabulary")
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *LETTERS, *(f"##{c}" for c in LETTERS)]) + "\n")
    return kb.Tokenizer.from_pretrained(folder)


def texts_of(tokenizer, count, *, pairs=False, seed=0):
    generator = np.random.default_rng(seed)

    def text():
        words = ["".join(generator.choice(list(LETTERS), generator.integers(1, 4))) for _ in range(40)]
        return " ".join(words)

    second = [text() for _ in range(count)] if pairs else None
    return tokenize(tokenizer, [text() for _ in range(count)], second, max_length=512)


@pytest.mark.parametrize("pairs", [False, True])
def test_length_segments_and_special_tokens_stay(tokenizer, pairs):
    texts = texts_of(tokenizer, 50, pairs=pairs)
    (copy,) = altered_copies(texts, tokenizer, 1, seed=3)
    np.testing.assert_array_equal(copy.ends, texts.ends)
    np.testing.assert_array_equal(copy.segment_ids, texts.segment_ids)
    special = np.isin(texts.token_ids, [tokenizer.cls_id, tokenizer.sep_id])
    np.testing.assert_array_equal(copy.token_ids[special], texts.token_ids[special])
    kept = [tokenizer.mask_id, *(i for token, i in tokenizer.vocab.items() if token not in SPECIAL)]
    assert np.isin(copy.token_ids[~special], kept).all()


def test_shares(tokenizer):
    """Of words that are hidden; of places that change, by the chances of a phrase, a hidden and a replaced word."""
    texts = texts_of(tokenizer, 2000)
    (copy,) = altered_copies(texts, tokenizer, 1, seed=0)
    words = np.isin(texts.token_ids, [tokenizer.vocab[c] for c in LETTERS])
    assert np.mean(copy.token_ids[words] == tokenizer.mask_id) == pytest.approx(HIDDEN, abs=0.005)
    # A token in another's place is the same one about once in 26, or less often for letters inside words.
    touched = 1 - (1 - SPLICED * np.mean(PHRASE)) * (1 - HIDDEN - REPLACED)
    assert np.mean(copy.token_ids[words] != texts.token_ids[words]) == pytest.approx(touched, abs=0.03)


def test_words_go_whole(tokenizer):
    """After a hidden first token of a word all of its others are hidden too, and no word is cut at its front."""
    texts = texts_of(tokenizer, 300)
    (copy,) = altered_copies(texts, tokenizer, 1, seed=1)
    ids = copy.token_ids
    inside = np.isin(ids, [tokenizer.vocab[f"##{c}"] for c in LETTERS])
    assert not (inside[1:] & (ids[:-1] == tokenizer.cls_id)).any()
    after_mask = inside[1:] & (ids[:-1] == tokenizer.mask_id)
    # The end of a phrase may cut the word that it falls into: a mask before it is then another word's.
    assert after_mask.mean() < 0.005


def test_phrases_come_from_the_corpus(tokenizer):
    """A text of one word alone in the corpus can only get others from elsewhere."""
    rows = [[tokenizer.cls_id, *[tokenizer.vocab[c]] * 30, tokenizer.sep_id] for c in LETTERS]
    texts = laid_end_to_end((row, [0] * 32) for row in rows)
    copies = altered_copies(texts, tokenizer, 20, seed=0)
    foreign = []
    for copy in copies:
        for row, letter in zip(copy.token_ids.reshape(26, 32), LETTERS, strict=True):
            other = row[1:-1]
            other = other[(other != tokenizer.vocab[letter]) & (other != tokenizer.mask_id)]
            values, counts = np.unique(other, return_counts=True)
            foreign.append(counts.max() if len(values) else 0)
    # 6 to 18 of one kind in a phrase, of which 80% are left; single words are of many kinds.
    spliced = np.array(foreign) >= 5
    assert spliced.mean() == pytest.approx(SPLICED * 25 / 26, abs=0.08)
    assert max(foreign) <= 18 + 1


def test_the_seed_makes_the_copies(tokenizer):
    texts = texts_of(tokenizer, 20)
    one, again, other = (altered_copies(texts, tokenizer, 2, seed=seed) for seed in (1, 1, 2))
    for first, second in zip(one, again, strict=True):
        np.testing.assert_array_equal(first.token_ids, second.token_ids)
    assert (one[0].token_ids != one[1].token_ids).any()
    assert (one[0].token_ids != other[0].token_ids).any()
    assert altered_copies(texts, tokenizer, 0, seed=1) == []


def test_each_epoch_has_its_copies():
    assert with_copies(3, 2, epoch=0).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert with_copies(3, 2, epoch=1).tolist() == [0, 1, 2, 9, 10, 11, 12, 13, 14]


def test_texts_without_a_word(tokenizer):
    texts = laid_end_to_end([([tokenizer.cls_id, tokenizer.sep_id], [0, 0])] * 3)
    (copy,) = altered_copies(texts, tokenizer, 1, seed=0)
    np.testing.assert_array_equal(copy.token_ids, texts.token_ids)


def test_joined_texts_and_their_targets(tokenizer):
    texts = texts_of(tokenizer, 5)
    both = joined([texts, in_ids(texts, np.arange(tokenizer.vocab_size) + 1)])
    config = kb.EncoderConfig(
        vocab_size=99, hidden_size=8, num_layers=1, num_heads=1, intermediate_size=8, max_positions=512
    )
    first, second = (both.features(np.array([i]), config)["token_ids"] for i in (2, 7))
    np.testing.assert_array_equal(first, texts.features(np.array([2]), config)["token_ids"])
    np.testing.assert_array_equal(second[first > 0], first[first > 0] + 1)
    np.testing.assert_array_equal(joined_targets([[1, 2], [3]]), [1, 2, 3])
    assert joined_targets([{"start": np.array([3])}, {"start": np.array([4, 5])}])["start"].tolist() == [3, 4, 5]
    parts = [TokenTargets(np.array([4, 5])), TokenTargets(np.array([6]))]
    assert joined_targets(parts).values.tolist() == [4, 5, 6]
