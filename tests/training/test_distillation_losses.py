"""Every distillation loss against plain NumPy in float64."""

import keras
import numpy as np
import pytest

from keras_bert.errors import ConfigError
from keras_bert.training import distillation

RNG = np.random.default_rng(8)
TEACHER, STUDENT = RNG.normal(size=(2, 3, 5, 7)).astype("float32") * 3
WEIGHTS = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], "int32")


def softmax(x):
    exponentials = np.exp(x.astype("float64") - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def kl(p, q):
    return (p * (np.log(p) - np.log(q))).sum(-1)


def mean(values, weights):
    return (values * weights).sum() / weights.sum()


def cosine(a, b):
    a, b = a.astype("float64"), b.astype("float64")
    return (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))


def same(got, expected):
    np.testing.assert_allclose(float(keras.ops.convert_to_numpy(got)), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_soft_labels(temperature):
    expected = temperature**2 * kl(softmax(TEACHER / temperature), softmax(STUDENT / temperature))
    same(distillation.soft_label_loss(TEACHER, STUDENT, temperature), expected.mean())
    same(distillation.soft_label_loss(TEACHER, STUDENT, temperature, WEIGHTS), mean(expected, WEIGHTS))
    same(distillation.soft_label_loss(TEACHER, TEACHER, temperature), 0.0)
    with pytest.raises(ConfigError, match="temperature"):
        distillation.soft_label_loss(TEACHER, STUDENT, 0.0)


def test_hidden_states():
    same(distillation.cosine_loss(TEACHER, STUDENT, WEIGHTS), mean(1 - cosine(TEACHER, STUDENT), WEIGHTS))
    squares = ((TEACHER.astype("float64") - STUDENT) ** 2).mean(-1)
    same(distillation.hidden_loss(TEACHER, STUDENT, WEIGHTS), mean(squares, WEIGHTS))
    same(distillation.hidden_loss(TEACHER, STUDENT, np.zeros_like(WEIGHTS)), 0.0)


def scores(query, key, heads):
    """Head by head, token by token."""
    size = query.shape[-1] // heads
    out = np.zeros((len(query), heads, query.shape[1], key.shape[1]))
    for b in range(len(query)):
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            out[b, h] = query[b, :, part].astype("float64") @ key[b, :, part].T.astype("float64") / np.sqrt(size)
    return out


def test_attention_scores():
    q, k, r, s = RNG.normal(size=(4, 3, 5, 12)).astype("float32")
    got = keras.ops.convert_to_numpy(distillation.attention_scores(q, k, 3))
    np.testing.assert_allclose(got, scores(q, k, 3), atol=1e-6)
    squares = ((scores(q, k, 3) - scores(r, s, 3)) ** 2).mean(1)
    pairs = WEIGHTS[:, :, None] * WEIGHTS[:, None, :]
    got = distillation.attention_loss(
        distillation.attention_scores(q, k, 3), distillation.attention_scores(r, s, 3), WEIGHTS
    )
    same(got, mean(squares, pairs))


def test_relations_of_other_widths():
    teacher, student = (RNG.normal(size=(3, 5, width)).astype("float32") for width in (12, 8))
    total, count = 0.0, 0
    for b in range(3):
        real = np.flatnonzero(WEIGHTS[b])
        if not len(real):
            continue
        own, other = (softmax(scores(x, x, 4)[b][:, real][:, :, real]) for x in (teacher, student))
        total, count = total + kl(own, other).mean(0).sum(), count + len(real)
    same(distillation.relation_loss(teacher, student, 4, WEIGHTS), total / count)
    with pytest.raises(ConfigError, match="5 relation heads"):
        distillation.relation_loss(teacher, student, 5, WEIGHTS)
