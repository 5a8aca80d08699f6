"""Batches: every text once an epoch, alike lengths together, the order a function of seed and epoch."""

import numpy as np
import pytest

import keras_bert as kb
from keras_bert.data import batch_indices, batched_dataset, classification, tokenize

LENGTHS = np.random.default_rng(0).integers(3, 90, 1000)


def order(**options):
    return [batch.tolist() for batch in batch_indices(LENGTHS, 16, **options)]


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_text_once(shuffle):
    batches = order(shuffle=shuffle, seed=1)
    assert sorted(i for batch in batches for i in batch) == list(range(1000))
    assert [len(batch) for batch in sorted(batches, key=len)] == [8] + [16] * 62


def test_order_is_a_function_of_seed_and_epoch():
    assert order(shuffle=True, seed=1, epoch=2) == order(shuffle=True, seed=1, epoch=2)
    assert order(shuffle=True, seed=1, epoch=2) != order(shuffle=True, seed=1, epoch=3)
    assert order(shuffle=True, seed=1, epoch=2) != order(shuffle=True, seed=2, epoch=2)


def test_alike_lengths_share_a_batch():
    def padded(batches):
        return sum(len(batch) * LENGTHS[batch].max() for batch in batches)

    drawn = np.random.default_rng(1).permutation(1000).reshape(-1, 8)
    assert padded(order(shuffle=True, seed=1)) < 1.05 * LENGTHS.sum() < padded(drawn)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "good", "bad", "##s"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return kb.Tokenizer.from_pretrained(folder)


def test_features_are_what_the_tokenizer_gives(tokenizer):
    texts, pairs = ["good a", "bad", "goods b c a b"], ["c", "a b", "bad"]
    encoded = tokenize(tokenizer, texts, pairs, max_length=8)
    assert encoded.truncated == 1
    assert encoded.lengths.tolist() == [6, 6, 8]
    got = encoded.features(np.arange(3), kb.EncoderConfig(max_positions=512))
    expected = tokenizer(texts, pairs, max_length=8)
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)


def test_padding_stops_at_the_model_s_positions(tokenizer):
    encoded = tokenize(tokenizer, ["a b c a b c a b"], max_length=10)
    assert encoded.features(np.array([0]), kb.EncoderConfig(max_positions=10))["token_ids"].shape == (1, 10)
    assert encoded.features(np.array([0]), kb.EncoderConfig(max_positions=512))["token_ids"].shape == (1, 16)


def test_dataset_reads_a_file_and_differs_by_epoch(tokenizer, tmp_path):
    path = tmp_path / "train.tsv"
    rows = "".join(f"{'good' if i % 3 else 'bad'} {'a ' * (i % 7)}\t{i % 3}\n" for i in range(50))
    path.write_text("text\tlabel\n" + rows, encoding="utf-8")
    dataset = classification(path, tokenizer, batch_size=8, seed=4)
    assert int(dataset.cardinality()) == 7
    first, second = (np.concatenate([y for _, y in dataset]).tolist() for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second) == sorted(i % 3 for i in range(50))
    for features, targets in dataset:
        assert set(features) == {"token_ids", "padding_mask", "segment_ids"}
        assert features["token_ids"].shape[0] == targets.shape[0]
        assert features["token_ids"].shape[1] % 8 == 0


def test_models_without_segments_get_none(tokenizer):
    encoded = tokenize(tokenizer, ["a"], max_length=10)
    config = kb.PRESETS["distilbert_base_uncased"]
    dataset = batched_dataset(encoded, [0], config, batch_size=1, shuffle=False)
    assert set(dataset.element_spec[0]) == {"token_ids", "padding_mask"}
