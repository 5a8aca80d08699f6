"""Masks of the three patterns and of movement pruning against NumPy; zeros stay zero and are counted in the file."""

import keras
import numpy as np
import pytest
from harness import FAMILIES, TINY, features, randomize, values
from keras_bert_tools.compression.masks import KeepZeros, MagnitudePruning, prunable_kernels, saved_sparsity
from keras_bert_tools.compression.movement import MovementScores

import keras_bert as kb
from keras_bert.errors import ConfigError

pytest.importorskip("tensorflow_model_optimization")


def make(family="bert"):
    config = TINY[family].replace(
        num_layers=2, hidden_size=32, embedding_size=0, intermediate_size=64, max_positions=32
    )
    model = kb.SequenceClassifier(kb.Encoder(config), labels=2)
    randomize(model)
    return model


def fit(model, callbacks, optimizer=None, epochs=2):
    inputs = features(model.config, batch=4)
    keras.Model.compile(
        model, optimizer or keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(True)
    )
    model.fit(inputs, np.array([0, 1, 1, 0]), batch_size=1, epochs=epochs, verbose=0, callbacks=callbacks)


@pytest.mark.parametrize("family", FAMILIES)
def test_smallest_weights_go(family, tmp_path):
    model = make(family)
    before = [values(kernel) for kernel in prunable_kernels(model)]
    MagnitudePruning(model, 0.8, "unstructured", 1).update()
    for old, kernel in zip(before, prunable_kernels(model), strict=True):
        cut = np.sort(np.abs(old).ravel())[old.size - round(old.size * 0.2)]
        np.testing.assert_array_equal(values(kernel), np.where(np.abs(old) >= cut, old, 0))
    model.save_pretrained(tmp_path)
    total, shares = saved_sparsity(tmp_path)
    assert total == pytest.approx(0.8, abs=1e-3)
    assert len(shares) == len(before)


def test_blocks_and_two_of_four_lie_along_the_rows_of_the_stored_matrix():
    model = make()
    before = [values(kernel).T for kernel in prunable_kernels(model)]  # [out, in], as stored
    MagnitudePruning(model, 0.5, "1x16", 1).update()
    for old, kernel in zip(before, prunable_kernels(model), strict=True):
        blocks = np.abs(old).reshape(len(old), -1, 16).mean(-1)
        cut = np.sort(blocks.ravel())[blocks.size // 2]
        np.testing.assert_array_equal(values(kernel).T, np.where(np.repeat(blocks >= cut, 16, 1), old, 0))
    model = make()
    before = [values(kernel).T for kernel in prunable_kernels(model)]
    MagnitudePruning(model, 0.5, "2:4", 1).update()
    for old, kernel in zip(before, prunable_kernels(model), strict=True):
        groups = old.reshape(len(old), -1, 4)
        order = np.argsort(np.argsort(-np.abs(groups), -1), -1)
        np.testing.assert_array_equal(values(kernel).T, np.where(order < 2, groups, 0).reshape(old.shape))


def test_schedule_reaches_the_sparsity_and_holds_it():
    model = make()
    seen = []
    pruning = MagnitudePruning(model, 0.75, "unstructured", 5)

    def look(batch, logs=None):
        seen.append(np.mean([np.mean(values(kernel) == 0) for kernel in prunable_kernels(model)]))

    watch = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    fit(model, [pruning, watch])
    assert seen == sorted(seen)
    assert len(set(seen)) > 3
    assert seen[4:] == pytest.approx([0.75] * 4, abs=1e-3)


def test_zeros_survive_further_training(tmp_path):
    model = make()
    MagnitudePruning(model, 0.6, "unstructured", 1).update()
    model.save_pretrained(tmp_path)
    model = kb.SequenceClassifier.from_pretrained(tmp_path)
    before = [values(kernel) for kernel in prunable_kernels(model)]
    fit(model, [KeepZeros(model)], kb.adamw(1e-2, steps=8, average=0.5))
    for old, kernel in zip(before, prunable_kernels(model), strict=True):
        np.testing.assert_array_equal(values(kernel) == 0, old == 0)
        assert not np.array_equal(values(kernel), old)


def test_movement_scores_are_gradient_times_weight():
    """Three steps by hand: the scores, the masks and weights that come back as they were."""
    model = make()
    kernel = prunable_kernels(model)[0]
    movement = MovementScores(model, 0.75, 1, 3)
    generator = np.random.default_rng(0)
    start = values(kernel)
    score, weight, mask = np.zeros_like(start), start.copy(), np.ones_like(start)
    returned = 0
    for step in (1, 2, 3):
        gradient = generator.normal(size=kernel.shape).astype("float32")
        movement.observe(keras.ops.convert_to_tensor(gradient), kernel)
        score -= gradient * weight
        kernel.assign(values(kernel) + 0.01 * mask)  # what an optimizer would do to weights that are there
        movement.on_train_batch_end(step)
        weight = np.where(mask > 0, weight + 0.01 * mask, weight)
        share = 0.75 * (1 - (1 - (step - 1) / 2) ** 3)
        keep = round(score.size * (1 - share))
        before, mask = mask, np.zeros(score.size)
        mask[np.argsort(-score.ravel(), kind="stable")[:keep]] = 1
        mask = mask.reshape(score.shape)
        returned += int(((before == 0) & (mask == 1)).sum())
        np.testing.assert_allclose(values(kernel), weight * mask, atol=1e-6)
    assert returned > 10
    assert np.mean(values(kernel) == 0) == pytest.approx(0.75, abs=1e-3)


def test_movement_pruning_trains(tmp_path):
    model = make("roberta")
    movement = MovementScores(model, 0.7, 1, 6)
    fit(model, [movement], movement.optimizer(1e-2, steps=12), epochs=3)
    model.save_pretrained(tmp_path)
    assert saved_sparsity(tmp_path)[0] == pytest.approx(0.7, abs=1e-3)
    magnitude = np.abs(values(movement._weights[0]))
    kept = values(movement._masks[0]) > 0
    assert magnitude[kept].min() < np.quantile(magnitude, 0.7)  # small weights can stay


@pytest.mark.parametrize(
    ("sparsity", "pattern"), [(1.0, "unstructured"), (-0.1, "unstructured"), (0.6, "2:4"), (0.5, "3:4")]
)
def test_refused(sparsity, pattern):
    with pytest.raises(ConfigError, match=r"sparsity|pattern"):
        MagnitudePruning(make(), sparsity, pattern, 1)
