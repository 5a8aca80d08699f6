"""The fine-tuning optimizer against AdamW written out in NumPy, layer by layer."""

import keras
import numpy as np
import pytest
from harness import TINY, features, values

import keras_bert as kb
from keras_bert.errors import ConfigError
from keras_bert.training import LayerwiseAdamW, layer_rates
from keras_bert.training.fused_adamw import AveragedAdamW, FusedAdamW

BETAS, EPSILON = (0.9, 0.999), 1e-6


def adamw(start, gradients, rates, decay):
    """The value after steps of AdamW (Loshchilov and Hutter 2019, algorithm 2) at the given learning rates."""
    x, m, v = start.astype("float64"), 0.0, 0.0
    for step, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        m = BETAS[0] * m + (1 - BETAS[0]) * gradient
        v = BETAS[1] * v + (1 - BETAS[1]) * gradient**2
        x = x - rate * decay * x
        scale = np.sqrt(1 - BETAS[1] ** step) / (1 - BETAS[0] ** step)
        x = x - rate * scale * m / (np.sqrt(v) + EPSILON)
    return x


@pytest.mark.parametrize("compiled", [None, False, True], ids=["eager", "graph", "xla"])
def test_every_variable_at_its_own_rate(compiled):
    import tensorflow as tf

    generator = np.random.default_rng(0)
    starts = [generator.normal(size=3).astype("float32") for _ in range(3)]
    variables = [keras.Variable(start, name=f"v{i}") for i, start in enumerate(starts)]
    rates = {variables[0].path: (0.5, 0), variables[1].path: (0.25, 2)}
    optimizer = LayerwiseAdamW(0.1, rates=rates, weight_decay=0.05, epsilon=EPSILON)
    optimizer.build(variables)
    gradients = generator.normal(size=(4, 3, 3)).astype("float32")

    def step(g):
        optimizer.apply(tf.unstack(g))

    step = step if compiled is None else tf.function(step, jit_compile=compiled)
    for row in gradients:
        step(tf.constant(row))
    expected = [[0.05] * 4, [0, 0, 0.025, 0.025], [0.1] * 4]
    for i, (variable, start) in enumerate(zip(variables, starts, strict=True)):
        np.testing.assert_allclose(values(variable), adamw(start, gradients[:, i], expected[i], 0.05), atol=1e-5)


@pytest.mark.parametrize("kind", [AveragedAdamW, FusedAdamW])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_the_average_forgets_the_start(kind, compiled):
    """The n-th value counts n times up to a window of ten steps, from then on each as in Polyak's average."""
    import tensorflow as tf

    generator = np.random.default_rng(1)
    variable = keras.Variable(generator.normal(size=3).astype("float32"), name="v")
    optimizer = kind(0.1, use_ema=True, ema_momentum=0.9)
    optimizer.build([variable])
    apply = tf.function(lambda gradient: optimizer.apply([gradient])) if compiled else lambda g: optimizer.apply([g])
    seen = []
    for gradient in generator.normal(size=(25, 3)).astype("float32"):
        apply(tf.constant(gradient))
        seen.append(values(variable).astype("float64"))
    weights = np.arange(1.0, 20)
    expected = weights @ np.array(seen[:19]) / weights.sum()
    for value in seen[19:]:
        expected = 0.9 * expected + 0.1 * value
    optimizer.finalize_variable_values([variable])
    np.testing.assert_allclose(values(variable), expected, atol=1e-5)


def test_moments_of_rows_that_a_batch_has_not_decay():
    """A sparse gradient, as a lookup gives it, is the dense one with zeros."""
    import tensorflow as tf

    start = np.ones((4, 2), "float32")
    variable = keras.Variable(start, name="table")
    optimizer = kb.adamw(0.1, steps=100, warmup=0, weight_decay=0, clip_norm=None)
    optimizer.build([variable])
    dense = np.zeros((3, 4, 2), "float32")
    for step, row in enumerate((1, 2, 1)):
        dense[step, row] = step + 1
        gradient = tf.IndexedSlices(tf.fill([1, 2], step + 1.0), tf.constant([row]), tf.constant([4, 2]))
        optimizer.apply([gradient])
    rates = [0.1 * (1 - step / 100) for step in range(3)]
    np.testing.assert_allclose(values(variable), adamw(start, dense, rates, 0), atol=1e-5)


def test_depths_of_layers():
    model = kb.SequenceClassifier(kb.Encoder(TINY["bert"].replace(num_layers=2)), 2)
    rates = layer_rates(model, layer_decay=0.5, unfreeze_after=10)
    by_place = {
        "classifier": (1.0, 0),
        "pooler": (1.0, 0),
        "block_1": (0.5, 10),
        "block_0": (0.25, 20),
        "embeddings": (0.125, 30),
    }
    assert len(rates) == len(model.trainable_variables)
    for path, rate in rates.items():
        (place,) = [name for name in by_place if f"{name}/" in f"{path}/" or name in path.split("/")]
        assert rate == by_place[place], path


def test_shared_blocks_learn_as_their_last_run():
    model = kb.SequenceClassifier(kb.Encoder(TINY["albert-groups"]), 2)
    rates = layer_rates(model, layer_decay=0.5)
    # Run in the order 0 1 0 1 2 3 2 3: block 1 runs last as the fourth of eight.
    path = next(variable.path for variable in model.encoder.blocks[1].trainable_variables)
    assert rates[path][0] == 0.5**5


def test_layers_rest_until_their_turn():
    model = kb.SequenceClassifier(kb.Encoder(TINY["bert"]), 2)
    optimizer = kb.fine_tuning_optimizer(model, 1e-2, steps=9, warmup=0, unfreeze=0.9)
    model.compile(optimizer)
    table, head = values(model.encoder.embeddings.token_table), values(model.head.classifier.kernel)
    inputs, targets = features(TINY["bert"]), np.array([0, 1, 1])
    for _ in range(4):
        model.train_on_batch(inputs, targets)
    assert not np.array_equal(values(model.head.classifier.kernel), head)
    np.testing.assert_array_equal(values(model.encoder.embeddings.token_table), table)
    for _ in range(5):
        model.train_on_batch(inputs, targets)
    assert not np.array_equal(values(model.encoder.embeddings.token_table), table)


def test_accumulated_batches_are_one_step():
    """Two halves of a batch, their gradients added up, move the weights as the whole does; at half the rate, for the
    schedule counts batches and is half way down."""
    config = TINY["bert"].replace(hidden_dropout=0.0, attention_dropout=0.0, classifier_dropout=0.0)
    inputs, targets = features(config, batch=4), np.array([0, 1, 1, 0])
    moved = []
    for accumulate in (1, 2):
        keras.utils.set_random_seed(3)
        model = kb.SequenceClassifier(kb.Encoder(config), 2)
        start = [values(weight) for weight in model.trainable_weights]
        model.compile(
            kb.fine_tuning_optimizer(model, 1e-2, steps=accumulate, warmup=0, accumulate=accumulate, layer_decay=0.8)
        )
        for i in range(accumulate):
            part = slice(i * 4 // accumulate, (i + 1) * 4 // accumulate)
            model.train_on_batch({name: value[part] for name, value in inputs.items()}, targets[part])
        moved.append([values(w) - before for w, before in zip(model.trainable_weights, start, strict=True)])
    whole, halves = (np.concatenate([move.reshape(-1) for move in side]) for side in moved)
    # Adam's first step is the sign of the gradient: where that is nothing but rounding, it may differ.
    np.testing.assert_allclose(2 * halves, whole, atol=3e-3)
    assert np.mean(np.abs(2 * halves - whole) < 1e-5) > 0.99


def test_it_is_saved_with_the_model():
    optimizer = LayerwiseAdamW(0.1, rates={"a": (0.5, 3)})
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.rates == {"a": (0.5, 3)}


@pytest.mark.parametrize("options", [{"layer_decay": 0}, {"unfreeze": 1.0}, {"accumulate": 20}])
def test_values_out_of_range_are_named(options):
    model = kb.SequenceClassifier(kb.Encoder(TINY["bert"]), 2)
    with pytest.raises(ConfigError, match=next(iter(options))):
        kb.fine_tuning_optimizer(model, steps=10, **options)
