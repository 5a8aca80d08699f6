"""What a run starts from where no checkpoint says it: position tables of sines and cosines, token tables of counts."""

import math

import keras
import numpy as np
import pytest
from tiny_runs import make_config, start, write_data

from keras_bert.errors import ConfigError
from keras_bert.training import cooccurrence
from keras_bert.training.cooccurrence import cooccurrence_table
from keras_bert.training.loop import train

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("shards"))


def begun(data, folder, **model):
    config = make_config(
        data, model={"positions": "sinusoids", **model}, training={"steps": 2}, checkpoint={"every": 2}
    )
    return start(config, folder)


def test_positions_start_from_sinusoids_and_are_trained(data, tmp_path):
    run = begun(data, tmp_path / "run")
    config, embeddings = run.model.encoder.config, run.model.encoder.embeddings
    table = embeddings.position_table.numpy()
    # Transformer paper, section 3.5, written out; sines and cosines have the variance 1/2.
    size = 0.02 * math.sqrt(2)
    for row in (0, 1, 31):
        for pair in (0, 3, 7):
            angle = row / 10000 ** (2 * pair / 16)
            expected = [size * math.sin(angle), size * math.cos(angle)]
            np.testing.assert_allclose(table[row, 2 * pair : 2 * pair + 2], expected, atol=1e-6)
    # One linear map leads from each place to the next; none does for random rows.
    steps = np.linalg.lstsq(table[:-1], table[1:], rcond=None)[0]
    assert np.abs(table[:-1] @ steps - table[1:]).max() < 1e-5
    # All else is as a random start has it.
    plain = start(make_config(data, training={"steps": 2}), tmp_path / "plain").model.encoder
    assert config == plain.config
    np.testing.assert_array_equal(embeddings.token_table, plain.embeddings.token_table)
    assert np.abs(plain.embeddings.position_table.numpy() - table).max() > 0.01
    train(run)
    assert np.abs(embeddings.position_table.numpy() - table).max() > 1e-3


def test_a_run_that_goes_on_keeps_its_positions(data, tmp_path):
    run = begun(data, tmp_path / "run")
    train(run, stop_at=2)
    trained = run.model.encoder.embeddings.position_table.numpy()
    again = begun(data, tmp_path / "run")
    train(again)
    np.testing.assert_array_equal(again.model.encoder.embeddings.position_table, trained)


def informed_rows(documents, vocab_size, width):
    """Rows of U S^(1/2) for positive pointwise mutual information, written out pair by pair, by NumPy's own SVD."""
    beside = np.zeros((vocab_size, 2 * vocab_size))
    for ids in documents:
        for place, token in enumerate(ids):
            for other in range(max(0, place - 5), min(len(ids), place + 6)):
                if other != place:
                    beside[token, ids[other] + vocab_size * (other > place)] += 1 / abs(other - place)
    share = beside.sum(0) ** 0.75
    share /= share.sum()
    information = np.zeros_like(beside)
    for token, neighbour in zip(*np.nonzero(beside), strict=True):
        ratio = beside[token, neighbour] / (beside[token].sum() * share[neighbour])
        information[token, neighbour] = max(0, math.log(ratio))
    left, values, _ = np.linalg.svd(information)
    return left[:, :width] * np.sqrt(values[:width])


def test_token_table_of_counts_is_the_svd_of_mutual_information():
    generator = np.random.default_rng(0)
    # Token 19 does not occur; one document is shorter than the window.
    documents = [generator.zipf(1.5, size).clip(max=19) - 1 for size in (300, 200, 3, 1)]
    table, expected = cooccurrence_table(documents, 20, 6), informed_rows(documents, 20, 6)
    # Singular vectors are known up to their sign.
    np.testing.assert_allclose(table * np.sign((table * expected).sum(0)), expected, atol=1e-4)
    assert not table[19].any()
    # Twenty tokens have no more than twenty directions: further columns are zeros.
    wide = cooccurrence_table(documents, 20, 32)
    assert not wide[:, 20:].any()
    assert np.abs(wide[:19]).sum(1).all()


def test_neighbours_beyond_the_commonest_are_not_told_apart(monkeypatch):
    monkeypatch.setattr(cooccurrence, "NEIGHBOURS", 2)
    # 0 and 1 are the commonest. What 2, 3 and 4 have on their other sides is not counted, so they look alike.
    documents = [np.array([0, token, 1]) for token in (2, 3, 4)] + [np.array([1, 0])] * 2
    documents += [np.array([token, token]) for token in (2, 3, 4)]
    table = cooccurrence_table(documents, 5, 3)
    np.testing.assert_allclose(table[[3, 4]], table[[2, 2]], atol=1e-6)
    assert np.abs(table[2]).max() > 0.1


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_tokens_start_from_counts_and_are_trained(strategy, data, tmp_path):
    config = make_config(data, model={"tokens": "cooccurrence"}, training={"steps": 2}, checkpoint={"every": 2})
    run = start(config, tmp_path / "run", strategy)
    table = run.model.encoder.embeddings.token_table.numpy()
    plain = start(make_config(data, training={"steps": 2}), tmp_path / "plain").model.encoder.embeddings
    documents = run.data.first_documents(10**9)
    assert sum(map(len, documents)) == run.data.manifest.tokens
    met = np.unique(np.concatenate(documents))
    # Tokens that stand in the text: as large as random rows, and alike where the text has them in like places.
    np.testing.assert_allclose(np.sqrt(np.square(table[met]).mean(1)), 0.02, rtol=1e-5)
    expected = informed_rows(documents, len(table), 16)[met]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = table[met] / np.linalg.norm(table[met], axis=1, keepdims=True)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-3)
    # All else is as a random start has it.
    others = np.setdiff1d(np.arange(len(table)), met)
    assert len(others) >= 5  # the special tokens are never in documents
    np.testing.assert_array_equal(table[others], plain.token_table.numpy()[others])
    np.testing.assert_array_equal(run.model.encoder.embeddings.position_table, plain.position_table)
    train(run)
    trained = run.model.encoder.embeddings.token_table.numpy()
    assert np.abs(trained - table).max() > 1e-3
    again = start(config, tmp_path / "run", strategy)
    np.testing.assert_array_equal(again.model.encoder.embeddings.token_table, trained)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"tokens": "counts"}, "model.tokens: expected one of random, cooccurrence, got 'counts'"),
        (
            {"init": "somewhere", "positions": "random", "tokens": "cooccurrence"},
            "model.tokens: expected random where a checkpoint brings them, got cooccurrence",
        ),
        ({"positions": "learned"}, "model.positions: expected one of random, sinusoids, got 'learned'"),
        ({"init": "somewhere"}, "model.positions: expected random where a checkpoint brings them, got sinusoids"),
    ],
)
def test_positions_that_cannot_start_so_are_named(model, message, data, tmp_path):
    with pytest.raises(ConfigError, match=message):
        begun(data, tmp_path / "run", **model)


def test_fixed_positions_are_not_started_twice(data, tmp_path):
    encoder = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 32, "max_positions": 32}
    keras.utils.set_random_seed(0)
    config = make_config(
        data,
        model={
            "preset": "distilbert_base_uncased",
            "positions": "sinusoids",
            "encoder": {**encoder, "sinusoidal_positions": True},
        },
        examples={"objective": "mlm"},
    )
    with pytest.raises(ConfigError, match=r"expected random with model\.encoder\.sinusoidal_positions, got sinusoids"):
        start(config, tmp_path / "run")
