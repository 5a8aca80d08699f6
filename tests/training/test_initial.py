"""What a run starts from where no checkpoint says it: position tables of sines and cosines."""

import math

import keras
import numpy as np
import pytest
from tiny_runs import make_config, start, write_data

from keras_bert.errors import ConfigError
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


@pytest.mark.parametrize(
    ("model", "message"),
    [
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
