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


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_compiled_steps_on_packed_rows_are_those_of_the_graph(precision):
    config = TINY["bert"].replace(hidden_dropout=0.0, attention_dropout=0.0, max_positions=16)
    batch = pack(make_batch(config, pairs=True))
    results = []
    for jit_compile in (True, False):
        keras.utils.set_random_seed(1)
        distribution = make_distribution("one_device").with_micro_batches(4, 2)
        with distribution.strategy.scope():
            model = kb.PretrainingModel(kb.Encoder(config, dtype=PRECISIONS[precision]))
            network = pretraining_network(model, packed=True)
            step = PretrainingStep(network, LAMB(1e-2), distribution, jit_compile=jit_compile)
        results.append(np.concatenate([step.run([batch, batch], 0), step.run([batch, batch], 2)]))
    tolerance = {"float32": 1e-3, "bfloat16": 2e-2}[precision]
    losses = [rows[:, : len(LOSSES)] for rows in results]
    np.testing.assert_allclose(losses[0], losses[1], rtol=tolerance, atol=tolerance / 10)
    assert losses[0][-1, 0] < losses[0][0, 0]
    # Two pairs a row, of as many tokens as before.
    first = dict(zip(SUMS, results[0][0].tolist(), strict=False))
    assert first["sentence_weight"] == 2 * len(batch["token_ids"])
    assert first["tokens"] == batch["padding_mask"].sum()
    assert {variable.dtype for variable in step.trainable} == {"float32"}


@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_steps_are_those_of_the_graph(family):
    config = TINY[family].replace(hidden_dropout=0.0, attention_dropout=0.0, max_positions=16)
    config = config.replace(pooler=family in ("bert", "albert"))
    pairs = config.pooler
    batch = make_batch(config, pairs)
    results, weights = [], []
    for jit_compile in (True, False):
        keras.utils.set_random_seed(1)
        distribution = make_distribution("one_device").with_micro_batches(4, 2)
        with distribution.strategy.scope():
            model = (kb.PretrainingModel if pairs else kb.MaskedLanguageModel)(kb.Encoder(config))
            if pairs:
                model.sentence_head.dropout.rate = 0.0  # ALBERT's, which is not the configuration's
            step = PretrainingStep(pretraining_network(model), LAMB(1e-2), distribution, jit_compile=jit_compile)
        results.append(np.concatenate([step.run([batch, batch], 0), step.run([batch, batch], 2)]))
        weights.append([variable.numpy() for variable in step.trainable])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-3, atol=1e-4)
    for compiled, plain in zip(*weights, strict=True):
        np.testing.assert_allclose(compiled, plain, atol=1e-4)
    loss = results[0][:, SUMS.index("mlm_loss")]
    assert loss[-1] < loss[0]
    assert results[0][0, SUMS.index("mlm_weight")] == pytest.approx(batch["masked_weights"].sum())
