"""The schedule against its formula, AdamW against a NumPy implementation written from the paper."""

import keras
import numpy as np
import pytest

import keras_bert as kb
from keras_bert.errors import ConfigError
from keras_bert.training import WarmupLinearDecay


def test_schedule_rises_and_falls():
    schedule = WarmupLinearDecay(1e-3, 10, 50)
    expected = [1e-3 * (step / 10 if step < 10 else (50 - step) / 40) for step in range(51)]
    assert [float(schedule(step)) for step in range(51)] == pytest.approx(expected, abs=1e-9)
    assert float(schedule(60)) == 0
    assert float(WarmupLinearDecay(1e-3, 0, 5)(0)) == pytest.approx(1e-3)
    assert WarmupLinearDecay.from_config(schedule.get_config()).get_config() == schedule.get_config()


def test_schedule_refuses_more_warmup_than_steps():
    with pytest.raises(ConfigError, match="warmup_steps: expected 0 to total_steps=5, got 6"):
        WarmupLinearDecay(1e-3, 6, 5)


def test_adamw_is_the_paper_s_with_exclusions():
    """Loshchilov & Hutter 2019, algorithm 2, with clipping by the global norm before it."""
    generator = np.random.default_rng(0)
    start = {
        "kernel": generator.normal(size=(4, 3)),
        "bias": generator.normal(size=3),
        "gamma": generator.normal(size=3),
    }
    variables = [keras.Variable(value.astype("float32"), name=name) for name, value in start.items()]
    optimizer = kb.adamw(0.01, steps=10, warmup=0.2, weight_decay=0.05, clip_norm=1.0)
    state = {name: (value.copy(), 0.0, 0.0) for name, value in start.items()}
    for step in range(10):
        gradients = {name: generator.normal(size=value.shape) for name, value in start.items()}
        optimizer.apply([keras.ops.cast(g, "float32") for g in gradients.values()], variables)
        norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        rate = 0.01 * (step / 2 if step < 2 else (10 - step) / 8)
        for name, gradient in gradients.items():
            value, m, v = state[name]
            gradient = gradient / max(norm, 1.0)
            value = value - rate * (0.05 * value if name == "kernel" else 0)
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
            m_hat, v_hat = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
            state[name] = (value - rate * m_hat / (np.sqrt(v_hat) + 1e-6), m, v)
    for variable, (value, _, _) in zip(variables, state.values(), strict=True):
        # Keras computes 1 - 0.999**t in float32, 5e-5 off at the first step: 3e-6 in the weights after ten.
        np.testing.assert_allclose(variable.numpy(), value, atol=5e-6)
