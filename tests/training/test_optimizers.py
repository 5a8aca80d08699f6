"""AdamW and LAMB against NumPy implementations written from BERT's code and from LAMB's paper."""

import keras
import numpy as np
import pytest

from keras_bert.errors import ConfigError
from keras_bert.training import LAMB, AdamW, WarmupPolynomialDecay

START = {"kernel": (4, 3), "bias": (3,), "gamma": (3,), "beta": (3,)}
DECAY, RATE, EPSILON = 0.05, 0.02, 1e-6


def adamw_step(x, g, m, v, t, excluded, corrected):
    """google-research/bert, `AdamWeightDecayOptimizer.apply_gradients`; corrected: Kingma and Ba, algorithm 1."""
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    m_hat, v_hat = (m / (1 - 0.9**t), v / (1 - 0.999**t)) if corrected else (m, v)
    update = m_hat / (np.sqrt(v_hat) + EPSILON) + (0 if excluded else DECAY * x)
    return x - RATE * update, m, v


def lamb_step(x, g, m, v, t, excluded, corrected):
    """You et al. 2020, algorithm 2; excluded variables take Adam's step."""
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    ratio = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + EPSILON)
    if excluded:
        return x - RATE * ratio, m, v
    step = ratio + DECAY * x
    return x - RATE * np.sqrt((x**2).sum()) / np.sqrt((step**2).sum()) * step, m, v


@pytest.mark.parametrize(
    ("make", "step", "corrected"),
    [
        (AdamW, adamw_step, False),
        (lambda *a, **k: AdamW(*a, bias_correction=True, **k), adamw_step, True),
        (LAMB, lamb_step, True),
    ],
    ids=["adamw", "adamw-corrected", "lamb"],
)
def test_ten_steps_are_those_of_the_reference(make, step, corrected):
    generator = np.random.default_rng(0)
    start = {name: generator.normal(size=shape) for name, shape in START.items()}
    variables = [keras.Variable(value.astype("float32"), name=name) for name, value in start.items()]
    optimizer = make(RATE, weight_decay=DECAY, global_clipnorm=1.0)
    state = {name: (value.astype("float32").astype("float64"), 0.0, 0.0) for name, value in start.items()}
    for t in range(1, 11):
        gradients = {name: generator.normal(size=shape).astype("float32") for name, shape in START.items()}
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients.values()], variables)
        norm = np.sqrt(sum((g.astype("float64") ** 2).sum() for g in gradients.values()))
        for name, gradient in gradients.items():
            excluded = name != "kernel"
            state[name] = step(state[name][0], gradient / max(norm, 1.0), *state[name][1:], t, excluded, corrected)
    for variable, (value, _, _) in zip(variables, state.values(), strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=0, atol=1e-6)


def test_lamb_takes_the_plain_step_where_a_norm_is_zero():
    """The ratio is 1 where weights or update are zero (the paper's code: `tf.where(tf.greater(w_norm, 0), ...)`)."""
    kernel, idle = keras.Variable(np.zeros((2, 2), "float32"), name="kernel"), keras.Variable([[1.0]], name="idle")
    LAMB(0.5, weight_decay=0.0).apply([keras.ops.ones((2, 2)), keras.ops.zeros((1, 1))], [kernel, idle])
    np.testing.assert_allclose(kernel.numpy(), np.full((2, 2), -0.5), atol=1e-5)
    np.testing.assert_array_equal(idle.numpy(), [[1.0]])


@pytest.mark.parametrize("make", [AdamW, LAMB])
def test_usable_in_compile_and_rebuilt_from_its_config(make):
    keras.utils.set_random_seed(2)
    optimizer = make(WarmupPolynomialDecay(0.05, 2, 40), weight_decay=0.1, beta_2=0.99, exclude=["bias"])
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert (again.decay_rate, again.beta_2, again.exclude) == (0.1, 0.99, ("bias",))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(again, loss="mse", jit_compile=False)
    x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    losses = model.fit(x, x @ [[1.0], [2.0]], epochs=5, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_polynomial_schedule():
    schedule = WarmupPolynomialDecay(1.0, 4, 20, power=0.5, end=0.2)
    expected = [t / 4 if t < 4 else 0.2 + 0.8 * ((20 - min(t, 20)) / 16) ** 0.5 for t in range(25)]
    assert [float(schedule(t)) for t in range(25)] == pytest.approx(expected, abs=1e-6)
    assert WarmupPolynomialDecay.from_config(schedule.get_config()).get_config() == schedule.get_config()
    with pytest.raises(ConfigError, match="power: expected a number above 0, got 0"):
        WarmupPolynomialDecay(1.0, 0, 1, power=0)
