"""What is masked: against a plain loop, against the published shares, and against the words of the text."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from corpora import MASK, SEP, Corpus, read, unmasked
from masking_oracle import mask_example, splitmix64

from keras_bert.data.pretraining import MASKINGS, PretrainingSettings
from keras_bert.data.pretraining.layout import Layout
from keras_bert.data.pretraining.masking import mask_tokens
from keras_bert.data.pretraining.randomness import Stream, random_bits, random_heads, random_order, random_uniform
from keras_bert.data.pretraining.units import unit_ids
from keras_bert.data.pretraining.vocabulary import Vocabulary

pytestmark = pytest.mark.tensorflow_only

VOCAB = 300


def vocabulary() -> Vocabulary:
    special = np.arange(VOCAB) < 5
    return Vocabulary(np.ones(VOCAB, bool), special, np.arange(5, VOCAB, dtype="int32"), 2, 3, 0, 4, True)


def test_random_bits_are_splitmix64() -> None:
    """The first outputs for the state 1234567, as published beside the reference code, and far ones from the loop."""
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    key = tf.constant(1234567, tf.uint64)
    assert [int(random_bits(key, Stream(number))) for number in range(5)] == published
    assert int(random_bits(key, Stream.TOKEN, 10**6)) == splitmix64(1234567, 16 * 10**6 + Stream.TOKEN)


def test_random_numbers() -> None:
    keys = random_bits(tf.constant(5, tf.uint64), Stream.ORDER, tf.range(20_000))
    uniform = random_uniform(random_bits(keys, Stream.LABEL)).numpy()
    assert abs(uniform.mean() - 0.5) < 0.01
    assert abs(uniform.std() - 12**-0.5) < 0.01
    for tosses in (0, 1, 63, 64, 65, 128, 200):
        heads = random_heads(keys, Stream.TRIM_A, tf.fill(keys.shape, tosses), 200).numpy()
        assert abs(heads.mean() - tosses / 2) <= 0.01 * tosses
        assert abs(heads.var() - tosses / 4) <= 0.05 * tosses / 4
    order = random_order(keys[0], tf.constant(1000)).numpy()
    assert sorted(order) == list(range(1000))
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1


@pytest.mark.parametrize("packed", [1, 3], ids=["one", "packed"])
@pytest.mark.parametrize("masking", MASKINGS)
def test_masks_are_those_of_a_plain_loop(masking: str, packed: int) -> None:
    generator = np.random.default_rng(3)
    rows, length = 60, 48
    settings = PretrainingSettings(
        sequence_length=length, masking=masking, pack=packed > 1, max_packed=packed, max_predictions=5
    )
    lengths = generator.integers(3, length // packed + 1, (rows, packed)).astype("int32")
    lengths[::5, packed // 2 + 1 :] = 0
    keys = generator.integers(0, 2**64, (rows, packed), dtype="uint64")
    tokens = np.zeros((rows, length), "int32")
    begins = generator.random((rows, length)) < 0.6
    for row in range(rows):
        end = 0
        for n in lengths[row]:
            text = generator.integers(5, VOCAB, n)
            if n:
                text[0], text[-1], text[n // 2] = 2, 3, 3
            tokens[row, end : end + n] = text
            end += n
    layout = Layout(tf.constant(lengths), length)
    got = {
        name: values.numpy()
        for name, values in mask_tokens(
            tf.constant(tokens), tf.constant(begins), tf.constant(keys), layout, settings, vocabulary()
        ).items()
    }
    assert got["masked_positions"].shape == (rows, settings.predictions_per_row)
    for row in range(rows):
        expected, end = {}, 0
        for n, key in zip(lengths[row].tolist(), keys[row].tolist(), strict=True):
            part = tokens[row, end : end + n].tolist()
            special = [token < 5 for token in part]
            starts = [bool(begins[row, end + i]) or special[i] or i == 0 or special[i - 1] for i in range(n)]
            if n:
                hidden, _ = mask_example(part, starts, special, key, settings, list(range(5, VOCAB)), 4)
                expected |= {end + place: token for place, token in hidden.items()}
            end += n
        used = got["masked_weights"][row] == 1
        positions = got["masked_positions"][row][used]
        assert positions.tolist() == sorted(expected)
        assert got["masked_targets"][row][used].tolist() == tokens[row, positions].tolist()
        assert not got["masked_positions"][row][~used].any()
        assert not got["masked_targets"][row][~used].any()
        hidden_row = tokens[row].copy()
        for place, token in expected.items():
            hidden_row[place] = token
        np.testing.assert_array_equal(got["token_ids"][row], hidden_row)


@pytest.mark.parametrize(
    ("masking", "shares"),
    [("ngram", [6 / 11, 3 / 11, 2 / 11]), ("span", [0.2 * 0.8**n / (1 - 0.8**10) for n in range(10)])],
)
def test_lengths_of_ngrams_and_spans(masking: str, shares: list[float]) -> None:
    """p(n) ~ 1/n up to 3 words; geometric, p = 0.2, up to 10 words with a mean of 3.8, as the papers say."""
    rows, length = 400, 512
    layout = Layout(tf.fill([rows, 1], length), length)
    keys = random_bits(tf.constant(1, tf.uint64), Stream.ORDER, tf.range(rows)[:, None])
    words = tf.ones([rows, length], tf.bool)
    units = unit_ids(masking, layout, words, tf.zeros_like(words), keys).numpy()
    # The last unit of a row is cut off.
    sizes = np.concatenate([np.bincount(row)[:-1] for row in units])
    np.testing.assert_allclose(np.bincount(sizes, minlength=len(shares) + 1)[1:] / len(sizes), shares, atol=0.006)
    if masking == "span":
        assert abs(sizes.mean() - 3.8) < 0.05


@pytest.fixture(scope="module", params=MASKINGS)
def million(request: pytest.FixtureRequest, corpus: Corpus) -> tuple[str, dict[str, np.ndarray]]:
    """At least a million tokens of each masking."""
    rows = read(corpus.data(objective="mlm", masking=request.param, sequence_length=64), 36, batch_size=512)
    return request.param, rows


def test_shares_over_a_million_tokens(million: tuple[str, dict[str, np.ndarray]], corpus: Corpus) -> None:
    _, rows = million
    used = rows["masked_weights"] == 1
    tokens, masked = rows["padding_mask"].sum(), used.sum()
    assert tokens > 1_000_000
    # Whole words cannot always fill the last place of the budget.
    assert abs(masked / tokens - 0.15) < 0.001
    targets = rows["masked_targets"][used]
    assert targets.min() > MASK
    row, column = np.nonzero(used)
    shown = rows["token_ids"][row, rows["masked_positions"][row, column]]
    assert abs((shown == MASK).mean() - 0.8) < 0.005
    # One random token in some thousands is by chance the one that was there.
    assert abs((shown == targets).mean() - 0.1) < 0.005
    changed = shown[(shown != MASK) & (shown != targets)]
    assert abs(len(changed) / masked - 0.1) < 0.005
    assert changed.min() > MASK
    assert changed.max() < len(corpus.first)
    untouched = np.ones_like(rows["token_ids"], bool)
    untouched[row, rows["masked_positions"][row, column]] = False
    assert not (rows["token_ids"][untouched] == MASK).any()


def test_whole_words_are_masked_whole(million: tuple[str, dict[str, np.ndarray]], corpus: Corpus) -> None:
    masking, rows = million
    tokens = unmasked(rows)
    hidden = np.zeros(tokens.shape, bool)
    row, column = np.nonzero(rows["masked_weights"])
    hidden[row, rows["masked_positions"][row, column]] = True
    text = tokens > MASK
    joined = text[:, 1:] & text[:, :-1] & corpus.continues[tokens[:, 1:]] & ~corpus.first[tokens[:, 1:]]
    torn = joined & (hidden[:, 1:] != hidden[:, :-1])
    assert torn.any() == (masking == "token")
    assert not hidden[tokens <= SEP].any()


def test_budget_is_kept_to_in_every_row(million: tuple[str, dict[str, np.ndarray]]) -> None:
    masking, rows = million
    lengths, masked = rows["padding_mask"].sum(1), rows["masked_weights"].sum(1)
    assert (masked < 0.15 * lengths + 1).all()
    if masking == "token":
        assert (masked > np.maximum(0.15 * lengths - 1, 0)).all()
