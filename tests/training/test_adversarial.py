"""Adversarial training against the formula written out over the network's parts."""

import keras
import numpy as np
import pytest
from harness import FAMILIES, TINY, features, randomize, values

import keras_bert as kb
from keras_bert.errors import ConfigError

RATE, SIZE = 0.1, 0.3
TARGETS = np.array([1, 0, 1], "int32")
PLAIN = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "classifier_dropout": 0.0}


def classifier(family):
    keras.utils.set_random_seed(1)
    model = kb.SequenceClassifier(kb.Encoder(TINY[family].replace(**PLAIN, pooler=family in ("bert", "albert"))), 2)
    randomize(model)
    return model


def written_out(model, inputs, targets, size):
    """The weights after a step of gradient descent on (L(e) + L(e + r)) / 2, r = size |e| g / |g|, g = dL/de."""
    import tensorflow as tf

    encoder = model.encoder
    tables = encoder.embeddings
    mask = next(tensor for tensor in model.inputs if tensor.name == "padding_mask")
    above = keras.Model([encoder.hidden_states[0], mask], model.output)
    seen = inputs["padding_mask"][..., None].astype("float32")
    first_row = TINY[encoder.config.family].position_offset
    places = np.cumsum(inputs["padding_mask"], 1) * inputs["padding_mask"] + first_row - 1 if first_row else None

    def embedded():
        found = tf.gather(tables.token_table.value, inputs["token_ids"])
        table = tables.position_table.value
        found += table[None, : found.shape[1]] if places is None else tf.gather(table, places)
        if "segment_ids" in inputs:
            found += tf.gather(tables.segment_table.value, inputs["segment_ids"])
        elif tables.segment_table is not None:
            found += tables.segment_table.value[0]
        return found

    def loss(vectors):
        hidden = tables.norm(vectors)
        hidden = hidden if tables.projection is None else tables.projection(hidden)
        logits = above([hidden, tf.constant(inputs["padding_mask"])])
        chosen = tf.gather(tf.nn.log_softmax(logits), targets, batch_dims=1)
        return -tf.reduce_mean(chosen)

    start = embedded()
    with tf.GradientTape() as tape:
        tape.watch(start)
        value = loss(start)
    uphill = tape.gradient(value, start).numpy()
    e = start.numpy() * seen
    length, steepness = (np.sqrt((x.astype("float64") ** 2).sum((1, 2), keepdims=True)) for x in (e, uphill))
    move = (size * length * uphill / steepness).astype("float32")
    assert float(loss(start + move)) > float(value) + 0.01
    with tf.GradientTape() as tape:
        total = (loss(embedded()) + loss(embedded() + move)) / 2
    gradients = tape.gradient(total, [weight.value for weight in model.trainable_weights])
    return [
        values(weight) - RATE * tf.convert_to_tensor(gradient).numpy()
        for weight, gradient in zip(model.trainable_weights, gradients, strict=True)
    ]


@pytest.mark.parametrize("compiled", [{"run_eagerly": True}, {}, {"jit_compile": True}], ids=["eager", "graph", "xla"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_is_the_formula(family, compiled):
    model = classifier(family)
    inputs = features(model.config)
    expected = written_out(model, inputs, TARGETS, SIZE)
    model.compile(keras.optimizers.SGD(RATE), adversarial=SIZE, **compiled)
    model.train_on_batch(inputs, TARGETS)
    for weight, value in zip(model.trainable_weights, expected, strict=True):
        np.testing.assert_allclose(values(weight), value, atol=2e-6, err_msg=weight.path)


def test_what_is_shown_is_of_the_texts_as_they_are():
    plain, moved = classifier("bert"), classifier("bert")
    inputs = features(plain.config)
    plain.compile(keras.optimizers.SGD(0.0))
    moved.compile(keras.optimizers.SGD(0.0), adversarial=SIZE)
    shown = [model.fit(inputs, TARGETS, verbose=0, shuffle=False).history for model in (plain, moved)]
    assert shown[0].keys() == shown[1].keys()
    for name in shown[0]:
        np.testing.assert_allclose(*(history[name] for history in shown), atol=1e-6)


def test_a_text_moves_by_its_own_gradient():
    """With the same rows in other company and with more padding, the step is the mean of the same steps."""
    model, again = classifier("bert"), classifier("bert")
    inputs = features(model.config, batch=2, lengths=[9, 4])
    wide = {name: np.pad(value, ((0, 0), (0, 5))) for name, value in inputs.items()}
    start = [values(weight) for weight in model.trainable_weights]
    model.compile(keras.optimizers.SGD(RATE), adversarial=SIZE)
    model.train_on_batch(inputs, TARGETS[:2])
    moves = []
    for row in (slice(0, 1), slice(1, 2)):
        for weight, value in zip(again.trainable_weights, start, strict=True):
            weight.assign(value)
        again.compile(keras.optimizers.SGD(RATE), adversarial=SIZE)
        again.train_on_batch({name: value[row] for name, value in wide.items()}, TARGETS[:2][row])
        moves.append([values(w) - v for w, v in zip(again.trainable_weights, start, strict=True)])
    for weight, value, *both in zip(model.trainable_weights, start, *moves, strict=True):
        np.testing.assert_allclose(values(weight) - value, np.mean(both, 0), atol=2e-6, err_msg=weight.path)


def test_other_tasks_and_half_precision():
    encoder = kb.Encoder(TINY["bert"], dtype="mixed_float16")
    tags = kb.TokenClassifier(encoder, labels=["O", "B-X"])
    inputs = features(tags.config)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3))
    tags.compile(optimizer, adversarial=SIZE)
    answers = kb.QuestionAnswerer(kb.Encoder(TINY["distilbert"]))
    answers.compile(adversarial=SIZE)
    classifier_model = classifier("bert")
    documents = kb.DocumentClassifier(classifier_model, "mean", window_length=9)
    documents.compile(adversarial=SIZE)
    places = {"start_logits": TARGETS, "end_logits": TARGETS + 1}
    texts = {name: value[:, None].repeat(2, 1) for name, value in inputs.items()}
    for model, x, y in (
        (tags, inputs, (inputs["token_ids"] % 2).astype("int32")),
        (answers, features(answers.config), places),
        (documents, texts, TARGETS),
    ):
        before = [values(weight) for weight in model.trainable_weights]
        history = model.fit(x, y, verbose=0).history
        assert np.isfinite(history["loss"]).all()
        after = [values(weight) for weight in model.trainable_weights]
        assert all(np.isfinite(value).all() for value in after)
        assert sum(bool(np.any(a != b)) for a, b in zip(before, after, strict=True)) > len(before) / 2


@pytest.mark.parametrize("size", [-0.1, float("nan"), float("inf")])
def test_a_size_out_of_range_is_named(size):
    with pytest.raises(ConfigError, match="adversarial"):
        classifier("bert").compile(adversarial=size)
    with pytest.raises(ConfigError, match="adversarial_after: expected a number of steps from 0 up, got -1"):
        classifier("bert").compile(adversarial=0.1, adversarial_after=-1)


@pytest.mark.parametrize("fits", [[3], [1, 2], [2, 1]], ids=str)
def test_the_first_steps_are_plain(fits):
    """Whether they are taken in one `fit` or in several."""
    model, plain = classifier("bert"), classifier("bert")
    inputs = features(model.config)
    plain.compile(keras.optimizers.SGD(RATE))
    plain.fit(inputs, TARGETS, epochs=2, shuffle=False, verbose=0)
    expected = written_out(plain, inputs, TARGETS, SIZE)
    model.compile(keras.optimizers.SGD(RATE), adversarial=SIZE, adversarial_after=2)
    for epochs in fits:
        model.fit(inputs, TARGETS, epochs=epochs, shuffle=False, verbose=0)
    for weight, value in zip(model.trainable_weights, expected, strict=True):
        np.testing.assert_allclose(values(weight), value, atol=4e-6, err_msg=weight.path)


def test_training_that_goes_on_counts_the_steps_before():
    model = classifier("bert")
    inputs = features(model.config)
    expected = written_out(model, inputs, TARGETS, SIZE)
    model.compile(optimizer := keras.optimizers.SGD(RATE), adversarial=SIZE, adversarial_after=7)
    optimizer.build(model.trainable_variables)
    optimizer.iterations.assign(7)
    model.fit(inputs, TARGETS, shuffle=False, verbose=0)
    for weight, value in zip(model.trainable_weights, expected, strict=True):
        np.testing.assert_allclose(values(weight), value, atol=2e-6, err_msg=weight.path)
