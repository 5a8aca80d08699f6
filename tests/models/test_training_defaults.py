"""`compile()` without arguments: the losses and metrics of token classification and question answering."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from harness import TINY, arrays, features

import keras_bert as kb
from keras_bert.errors import ConfigError


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Of the last axis, in float64."""
    logits = logits.astype("float64") - logits.max(-1, keepdims=True)
    log = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -np.take_along_axis(log, targets[..., None], -1)[..., 0]


@pytest.fixture
def tagger():
    return kb.TokenClassifier(kb.Encoder(TINY["bert"].replace(pooler=False)), ["O", "B-A", "I-A"])


def test_tokens_without_a_target_do_not_count(tagger):
    inputs = features(TINY["bert"])
    targets = np.full(inputs["token_ids"].shape, -100)
    targets[0, [1, 3, 4]], targets[1, 2] = [2, 0, 1], 1
    tagger.compile()
    loss, accuracy = tagger.evaluate(inputs, targets, verbose=0)
    wanted = targets >= 0
    logits = arrays(tagger(inputs))["output"][wanted]
    assert loss == pytest.approx(cross_entropy(logits, targets[wanted]).mean(), rel=1e-5)
    assert accuracy == pytest.approx((logits.argmax(-1) == targets[wanted]).mean())
    weights = np.array([1.0, 3.0, 1.0])
    weighted = tagger.evaluate(inputs, targets, sample_weight=weights[:, None] * wanted, verbose=0)[0]
    expected = cross_entropy(logits, targets[wanted]) * np.broadcast_to(weights[:, None], wanted.shape)[wanted]
    assert weighted == pytest.approx(expected.mean(), rel=1e-5)


def test_a_batch_without_targets_is_no_nan(tagger):
    inputs = features(TINY["bert"])
    tagger.compile()
    loss = tagger.fit(inputs, np.full(inputs["token_ids"].shape, -100), verbose=0).history["loss"]
    assert loss == [0.0]
    assert all(np.isfinite(keras.ops.convert_to_numpy(weight)).all() for weight in tagger.trainable_weights)


def test_the_ends_of_an_answer_weigh_the_same():
    model = kb.QuestionAnswerer(kb.Encoder(TINY["bert"]))
    inputs = features(TINY["bert"])
    targets = {"start_logits": np.array([1, 0, 2]), "end_logits": np.array([4, 0, 3])}
    model.compile()
    got = model.evaluate(inputs, targets, verbose=0, return_dict=True)
    outputs = arrays(model(inputs))
    losses = [cross_entropy(outputs[name], targets[name]).mean() for name in targets]
    assert got["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert set(got) >= {"start_logits_accuracy", "end_logits_accuracy"}


def test_own_losses_bring_their_own_weights():
    model = kb.QuestionAnswerer(kb.Encoder(TINY["bert"]))
    names = ("start_logits", "end_logits")
    inputs = features(TINY["bert"])
    zeros = {name: np.zeros(inputs["token_ids"].shape, "float32") for name in names}
    model.compile(loss=dict.fromkeys(names, "mse"), metrics=None)
    outputs = arrays(model(inputs))
    expected = sum((outputs[name] ** 2).mean() for name in names)
    assert model.evaluate(inputs, zeros, verbose=0, return_dict=True)["loss"] == pytest.approx(expected, rel=1e-5)


def test_the_tasks_own_loss_can_be_weighed_otherwise():
    model = kb.QuestionAnswerer(kb.Encoder(TINY["bert"]))
    inputs = features(TINY["bert"])
    targets = {"start_logits": np.array([1, 0, 2]), "end_logits": np.array([4, 0, 3])}
    model.compile(loss_weights={"start_logits": 1.0, "end_logits": 0.0})
    expected = cross_entropy(arrays(model(inputs))["start_logits"], targets["start_logits"]).mean()
    assert model.evaluate(inputs, targets, verbose=0, return_dict=True)["loss"] == pytest.approx(expected, rel=1e-5)


def test_the_optimizer_is_adamw_unless_given(tagger):
    tagger.compile()
    assert isinstance(tagger.optimizer, keras.optimizers.AdamW)
    tagger.compile(keras.optimizers.SGD(0.1))
    assert isinstance(tagger.optimizer, keras.optimizers.SGD)


@pytest.mark.backend
def test_adversarial_training_runs_on_tensorflow_alone(tagger):
    if keras.backend.backend() == "tensorflow":
        tagger.compile(adversarial=0.1)
        assert tagger.adversarial == 0.1
    else:
        with pytest.raises(ConfigError, match="backend tensorflow"):
            tagger.compile(adversarial=0.1)
