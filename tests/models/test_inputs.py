"""What a model refuses on the host, before a device could gather zeros."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from harness import TINY, features

import keras_bert as kb
from keras_bert.errors import InputError


@pytest.fixture(scope="module")
def encoders():
    return {family: kb.Encoder(config) for family, config in TINY.items()}


def call(model, inputs):
    return model(inputs)


def predict(model, inputs):
    return model.predict(inputs, verbose=0)


@pytest.mark.parametrize("use", [call, predict])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("token_ids", 40, "token_ids holds 40, outside the vocabulary of 40 rows"),
        ("token_ids", -1, "token_ids holds -1, outside the vocabulary"),
        ("segment_ids", 2, "segment_ids holds 2, outside the segment table of 2 rows"),
    ],
)
def test_ids_outside_a_table(use, name, value, message, encoders):
    inputs = features(TINY["bert"])
    inputs[name] = inputs[name].copy()
    inputs[name][1, 2] = value
    with pytest.raises(InputError, match=message):
        use(encoders["bert"], inputs)


@pytest.mark.parametrize("use", [call, predict])
@pytest.mark.parametrize("family", ["distilbert", "roberta"])
def test_segments_for_a_model_without(use, family, encoders):
    inputs = {**features(TINY[family]), "segment_ids": np.zeros((3, 9), "int32")}
    with pytest.raises(InputError, match=f"unknown input segment_ids.*{family} models have no segments"):
        use(encoders[family], inputs)


@pytest.mark.parametrize("use", [call, predict])
@pytest.mark.parametrize("family", TINY)
def test_too_long(use, family, encoders):
    with pytest.raises(InputError, match="513 tokens are too long: this model has 512 positions"):
        use(encoders[family], {"token_ids": np.full((1, 513), 7, "int32")})


@pytest.mark.parametrize("use", [call, predict])
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "token_ids is missing"),
        ({"padding_mask": np.ones((1, 2), "int32")}, "token_ids is missing"),
        ({"input_ids": np.ones((1, 2), "int32")}, "unknown input input_ids"),
        ({"token_ids": np.ones((1, 2))}, "token_ids must be whole numbers, got dtype float64"),
        ({"token_ids": np.ones(2, "int32")}, r"token_ids has shape \(2,\), expected \[batch, length\]"),
        ({"token_ids": np.ones((1, 2), "int32"), "padding_mask": np.ones((1, 3), "int32")}, "padding_mask has shape"),
        ({"token_ids": np.ones((1, 2), "int32"), "segment_ids": np.ones((2, 2), "int32")}, "segment_ids has shape"),
        ({"token_ids": [[5, 99]]}, "token_ids holds 99"),
        ({"token_ids": [[5, 6], [7]]}, "token_ids"),
        ({"token_ids": np.ones((1, 0), "int32")}, "token_ids is empty"),
    ],
)
def test_inputs_that_cannot_be_used(use, inputs, message, encoders):
    with pytest.raises(InputError, match=message):
        use(encoders["bert"], inputs)


def test_ids_of_a_task_are_checked_in_fit(encoders):
    model = kb.TokenClassifier(encoders["roberta"])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(InputError, match="outside the vocabulary"):
        model.fit({"token_ids": np.full((2, 3), 99, "int32")}, np.zeros((2, 3)), verbose=0)


def test_lists_are_inputs_too(encoders):
    outputs = encoders["bert"]({"token_ids": [[5, 6, 7]]})
    assert tuple(outputs["sequence_output"].shape) == (1, 3, 16)


def dataset(inputs, targets=None):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(inputs if targets is None else (inputs, targets)).batch(2)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("family", "name", "value", "rows"),
    [("roberta", "token_ids", 40, 40), ("bert", "token_ids", -1, 40), ("bert", "segment_ids", 2, 2)],
)
def test_ids_in_tensors_and_datasets_are_checked(family, name, value, rows, encoders):
    import tensorflow as tf

    model = kb.TokenClassifier(encoders[family])
    model.compile()
    inputs = features(TINY[family])
    targets = np.zeros(inputs["token_ids"].shape, "int32")
    good = dataset(inputs, targets)
    assert model.predict(dataset(inputs), verbose=0).shape == (3, 9, 2)
    model.fit(good, validation_data=good, verbose=0)

    inputs[name] = inputs[name].copy()
    inputs[name][2, 1] = value
    with pytest.raises(InputError, match=f"{name} holds {value}, outside"):
        model({key: tf.constant(array) for key, array in inputs.items()})
    named = rf"{name} holds an id outside its table of {rows} rows:\] \[{value}\]"
    bad = dataset(inputs, targets)
    uses = [
        lambda: model.predict(dataset(inputs), verbose=0),
        lambda: model.evaluate(bad, verbose=0),
        lambda: model.fit(bad, verbose=0),
        lambda: model.fit(good, validation_data=bad, verbose=0),
    ]
    for use in uses:
        with pytest.raises(tf.errors.InvalidArgumentError, match=named):
            use()


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("asked", [None, False, True])
def test_a_dataset_is_tuned_where_it_asks_for_it_alone(asked, monkeypatch, encoders):
    import tensorflow as tf

    model = kb.TokenClassifier(encoders["bert"])
    options, seen = tf.data.Options(), []
    if asked is not None:
        options.autotune.enabled = asked
    monkeypatch.setattr(keras.Model, "predict", lambda model, batches, **_: seen.append(batches.options()))
    model.predict(dataset(features(TINY["bert"])).with_options(options))
    assert seen[0].autotune.enabled is bool(asked)


@pytest.mark.tensorflow_only
def test_arrays_in_a_function_of_tensorflow(encoders):
    import tensorflow as tf

    inputs = {"token_ids": features(TINY["bert"])["token_ids"]}
    traced = tf.function(lambda: encoders["bert"](inputs)["sequence_output"])
    expected = keras.ops.convert_to_numpy(encoders["bert"](inputs)["sequence_output"])
    np.testing.assert_allclose(traced(), expected, atol=1e-5)


@pytest.mark.tensorflow_only
def test_one_graph_answers_batches_of_all_sizes(monkeypatch):
    """What `predict_on_batch` gives is what the model gives, after training too, and is traced once."""
    config = TINY["bert"].replace(hidden_dropout=0.5)
    model, traced = kb.SequenceClassifier(kb.Encoder(config)), []
    block = model.encoder.blocks[0]
    original = block.call

    def counted(*arguments, **options):
        traced.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(block, "call", counted)
    batches = [features(config, batch, length) for batch, length in ((3, 9), (1, 2), (2, 5))]
    batches.append({"token_ids": np.full((2, 4), 7, "int64")})
    for trained in (False, True):
        traced.clear()
        found = [model.predict_on_batch(batch) for batch in batches]
        assert len(traced) == 1
        for batch, output in zip(batches, found, strict=True):
            expected = model(batch)
            np.testing.assert_allclose(output, expected, atol=1e-6)
            assert isinstance(output, np.ndarray)
        if not trained:
            model.compile(keras.optimizers.SGD(1.0))
            model.fit(batches[0], np.array([0, 1, 1]), verbose=0)
    with pytest.raises(InputError, match="token_ids holds 99"):
        model.predict_on_batch({"token_ids": np.full((1, 2), 99)})
