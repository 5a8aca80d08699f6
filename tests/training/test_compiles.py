"""Every family trains under XLA with static shapes, in one program, and gives what it gives without."""

import keras
import numpy as np
import pytest
from harness import FAMILIES, TINY

import keras_bert as kb
from keras_bert.models.pretraining import pretraining_network
from keras_bert.training import LAMB
from keras_bert.training.objectives import LOSSES, SUMS
from keras_bert.training.run_config import PRECISIONS
from keras_bert.training.step import PretrainingStep
from keras_bert.training.strategies import make_distribution

pytestmark = pytest.mark.tensorflow_only


def make_batch(config, pairs, rows=4, length=16, predictions=4):
    generator = np.random.default_rng(0)
    shape = (rows, predictions)
    batch = {
        "token_ids": generator.integers(5, config.vocab_size, (rows, length)),
        "padding_mask": np.repeat(np.arange(length)[None] < length - 3, rows, axis=0),
        "masked_positions": generator.integers(1, length - 3, shape),
        "masked_targets": generator.integers(5, config.vocab_size, shape),
        "masked_weights": (generator.random(shape) < 0.8).astype("float32"),
    }
    if config.uses_segments:
        batch["segment_ids"] = np.repeat(np.arange(length)[None] > length // 2, rows, axis=0)
    if pairs:
        batch["sentence_positions"] = np.zeros((rows, 1))
        batch["sentence_targets"] = generator.integers(0, 2, (rows, 1))
        batch["sentence_weights"] = np.ones((rows, 1), "float32")
    return {name: value if value.dtype == "float32" else value.astype("int32") for name, value in batch.items()}


def pack(batch, length=16):
    """Two sequences of half a row each, and nothing else changed."""
    halves = np.arange(length) // (length // 2)
    rows = len(batch["token_ids"])
    return {
        **batch,
        "sequence_ids": np.repeat(halves[None] + 1, rows, axis=0).astype("int32") * batch["padding_mask"],
        "position_ids": np.repeat((np.arange(length) % (length // 2))[None], rows, axis=0).astype("int32"),
        "sentence_positions": np.repeat([[0, length // 2]], rows, axis=0).astype("int32"),
        "sentence_targets": np.repeat([[0, 1]], rows, axis=0).astype("int32"),
        "sentence_weights": np.ones((rows, 2), "float32"),
    }


def take_steps(network, distribution, batch, jit_compile):
    """Results of four steps, and the weights after them."""
    step = PretrainingStep(network, LAMB(1e-2), distribution, jit_compile=jit_compile)
    results = np.concatenate([step.run([batch, batch], 0), step.run([batch, batch], 2)])
    return results, [variable.numpy() for variable in step.trainable]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_compiled_steps_on_packed_rows_are_those_of_the_graph(precision):
    config = TINY["bert"].replace(hidden_dropout=0.0, attention_dropout=0.0, max_positions=16)
    batch = pack(make_batch(config, pairs=True))
    found = {}
    for jit_compile in (True, "elementwise", False):
        keras.utils.set_random_seed(1)
        distribution = make_distribution("one_device").with_micro_batches(4, 2)
        with distribution.strategy.scope():
            model = kb.PretrainingModel(kb.Encoder(config, dtype=PRECISIONS[precision]))
            network = pretraining_network(model, packed=True)
        found[jit_compile], _ = take_steps(network, distribution, batch, jit_compile)
        assert {variable.dtype for variable in network.trainable_variables} == {"float32"}
    tolerance = {"float32": 1e-3, "bfloat16": 2e-2}[precision]
    losses = {how: rows[:, : len(LOSSES)] for how, rows in found.items()}
    for how in ("elementwise", False):
        np.testing.assert_allclose(losses[how], losses[True], rtol=tolerance, atol=tolerance / 10)
    assert losses[True][-1, 0] < losses[True][0, 0]
    # Two pairs a row, of as many tokens as before.
    first = dict(zip(SUMS, found[True][0].tolist(), strict=False))
    assert first["sentence_weight"] == 2 * len(batch["token_ids"])
    assert first["tokens"] == batch["padding_mask"].sum()


@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_steps_are_those_of_the_graph(family):
    config = TINY[family].replace(hidden_dropout=0.0, attention_dropout=0.0, max_positions=16)
    config = config.replace(pooler=family in ("bert", "albert"))
    pairs = config.pooler
    batch = make_batch(config, pairs)
    found = {}
    # What is compiled by itself is a block's, and blocks differ between families by being shared alone.
    ways = (True, "elementwise", False) if pairs else (True, False)
    for jit_compile in ways:
        keras.utils.set_random_seed(1)
        distribution = make_distribution("one_device").with_micro_batches(4, 2)
        with distribution.strategy.scope():
            model = (kb.PretrainingModel if pairs else kb.MaskedLanguageModel)(kb.Encoder(config))
            if pairs:
                model.sentence_head.dropout.rate = 0.0  # ALBERT's, which is not the configuration's
        found[jit_compile] = take_steps(pretraining_network(model), distribution, batch, jit_compile)
    results, weights = found[True]
    for how in ways[1:]:
        np.testing.assert_allclose(found[how][0], results, rtol=1e-3, atol=1e-4)
        for compiled, plain in zip(weights, found[how][1], strict=True):
            np.testing.assert_allclose(compiled, plain, atol=1e-4)
    loss = results[:, SUMS.index("mlm_loss")]
    assert loss[-1] < loss[0]
    assert results[0, SUMS.index("mlm_weight")] == pytest.approx(batch["masked_weights"].sum())


def test_dropout_between_products_that_are_compiled_alone_is_that_of_the_whole_program():
    config = TINY["bert"].replace(hidden_dropout=0.2, attention_dropout=0.3, max_positions=16, num_layers=2)
    batch = make_batch(config, pairs=True)
    found, distribution = [], make_distribution("one_device")
    for jit_compile, rematerialize in ((True, False), ("elementwise", True)):  # computed twice, it drops the same
        keras.utils.set_random_seed(1)
        network = pretraining_network(kb.PretrainingModel(kb.Encoder(config)), rematerialize=rematerialize)
        found.append(take_steps(network, distribution.with_micro_batches(4, 4), batch, jit_compile))
    (results, weights), (expected_results, expected_weights) = found
    np.testing.assert_allclose(results, expected_results, rtol=1e-3, atol=1e-4)
    for compiled, expected in zip(weights, expected_weights, strict=True):
        np.testing.assert_allclose(compiled, expected, atol=1e-4)
