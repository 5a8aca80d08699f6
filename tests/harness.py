"""The contract of the library's classes: helpers that every layer and every task model goes through.

Each takes an object and independent expectations (shapes, names) and checks what a user relies on: shapes, the round
trip through `get_config` and `.keras` files, that training reaches every weight, and mixed precision.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

import keras_bert as kb

GOLDENS = pathlib.Path(__file__).parent / "goldens"

_SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "intermediate_size": 24,
    "max_positions": 512,
    "embedding_size": None,
}
# One tiny configuration a family, and ALBERT with 2 groups of 2 inner layers.
TINY: dict[str, kb.EncoderConfig] = {
    "bert": kb.PRESETS["bert_base_uncased"].replace(**_SIZES),
    "distilbert": kb.PRESETS["distilbert_base_uncased"].replace(**_SIZES),
    "roberta": kb.PRESETS["roberta_base"].replace(**_SIZES),
    "albert": kb.PRESETS["albert_base_v2"].replace(**{**_SIZES, "embedding_size": 8, "num_layers": 2}),
    "albert-groups": kb.PRESETS["albert_base_v2"].replace(
        **{**_SIZES, "embedding_size": 8, "num_layers": 4, "num_layer_groups": 2, "layers_per_group": 2}
    ),
}
FAMILIES = ("bert", "distilbert", "roberta", "albert")


def features(
    config: kb.EncoderConfig, batch: int = 3, length: int = 9, lengths: list[int] | None = None
) -> dict[str, np.ndarray]:
    """int32 model inputs `[batch, length]` with right padding (`lengths` real tokens a row)."""
    generator = np.random.default_rng(5)
    ids = generator.integers(5, config.vocab_size, (batch, length)).astype("int32")
    lengths = lengths or [max(1, length - 2 * row) for row in range(batch)]
    mask = (np.arange(length)[None] < np.array(lengths)[:, None]).astype("int32")
    inputs = {"token_ids": np.where(mask, ids, config.pad_token_id).astype("int32"), "padding_mask": mask}
    if config.uses_segments:
        inputs["segment_ids"] = (np.arange(length)[None] >= length // 2).astype("int32") * mask
    return inputs


def randomize(model: Any, seed: int = 3) -> None:
    """Give every weight, biases and LayerNorms too, a random value, so that none can be mistaken for another."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed_generator" not in variable.path:
            noise = generator.normal(size=variable.shape) * 0.2
            variable.assign(keras.ops.convert_to_numpy(variable.value) + noise.astype("float32"))


def values(variable: keras.Variable) -> np.ndarray:
    """A copy of a variable's values, on any backend."""
    return np.array(keras.ops.convert_to_numpy(variable.value))


def arrays(outputs: Any) -> dict[str, np.ndarray]:
    """Outputs as NumPy float32 by name; a single one is called `output`."""
    if not isinstance(outputs, Mapping):
        outputs = {"output": outputs}
    return {name: keras.ops.convert_to_numpy(keras.ops.cast(value, "float32")) for name, value in outputs.items()}


def assert_same(got: Any, expected: Any, tolerance: float = 0.0) -> None:
    """Outputs with the same names, shapes and values."""
    got, expected = arrays(got), arrays(expected)
    assert sorted(got) == sorted(expected)
    for name in got:
        np.testing.assert_allclose(got[name], expected[name], rtol=0, atol=tolerance, err_msg=name)


def run_layer_test(
    make: Callable[..., keras.layers.Layer],
    inputs: Mapping[str, np.ndarray],
    expected_shape: tuple[int, ...],
    expected_weights: Mapping[str, tuple[int, ...]],
    folder: pathlib.Path,
) -> None:
    """Hold one layer to the contract.

    Args:
        make: builds the layer; called with `dtype=...`.
        inputs: argument name of `call` -> array `[batch, ...]`.
        expected_shape: of the output, batch included.
        expected_weights: path of each trainable weight below the layer -> shape.
        folder: for the `.keras` file.
    """
    layer = make(dtype="float32")
    symbolic = {name: keras.Input(value.shape[1:], dtype=str(value.dtype), name=name) for name, value in inputs.items()}
    model = keras.Model(symbolic, layer(**symbolic))
    assert model.output_shape == (None, *expected_shape[1:])
    found = {weight.path.split("/", 1)[1]: tuple(weight.shape) for weight in layer.trainable_weights}
    assert found == dict(expected_weights)
    randomize(model)
    inputs = dict(inputs)
    expected = model(inputs)
    assert tuple(expected.shape) == expected_shape

    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    again(**symbolic)
    again.set_weights(layer.get_weights())
    assert_same(again(**{name: keras.ops.convert_to_tensor(value) for name, value in inputs.items()}), expected)

    model.save(folder / "layer.keras")
    assert_same(keras.saving.load_model(folder / "layer.keras")(inputs), expected)

    if layer.trainable_weights:
        _assert_trains(model, inputs, {"output": np.zeros(expected_shape, "float32")})
    for policy in ("mixed_bfloat16", "mixed_float16"):
        mixed = make(dtype=policy)(**{name: keras.ops.convert_to_tensor(value) for name, value in inputs.items()})
        assert keras.backend.standardize_dtype(mixed.dtype) == policy.removeprefix("mixed_")
        assert np.isfinite(arrays(mixed)["output"]).all()


def run_task_test(
    make: Callable[[kb.Encoder], Any],
    config: kb.EncoderConfig,
    expected_shapes: Mapping[str, tuple[int | str, ...]],
    folder: pathlib.Path,
) -> None:
    """Hold one task model (or the bare encoder) of one family to the contract.

    Args:
        make: encoder -> model; the identity for the encoder itself.
        config: a tiny configuration with the dropouts of the family.
        expected_shapes: output name -> shape with the words `batch` and `length`.
        folder: for files.
    """
    model = make(kb.Encoder(config.replace(hidden_dropout=0.0, attention_dropout=0.0, classifier_dropout=0.0)))
    randomize(model)
    for batch, length in ((3, 9), (1, 2)):
        inputs = features(config, batch, length)
        expected = arrays(model(inputs))
        sizes = {"batch": batch, "length": length}
        assert {name: value.shape for name, value in expected.items()} == {
            name: tuple(sizes.get(size, size) for size in shape) for name, shape in expected_shapes.items()
        }
    inputs = features(config)
    expected = model(inputs)

    again = type(model).from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert [tuple(weight.shape) for weight in again.weights] == [tuple(weight.shape) for weight in model.weights]

    model.save(folder / "model.keras")
    assert_same(keras.saving.load_model(folder / "model.keras")(inputs), expected)

    model.save_pretrained(folder / "pretrained")
    loaded = type(model).from_pretrained(folder / "pretrained")
    assert_same(loaded(inputs), expected)
    assert loaded.config == model.config

    generator = np.random.default_rng(9)
    targets = {name: generator.normal(size=value.shape).astype("float32") for name, value in arrays(expected).items()}
    _assert_trains(model, inputs, targets)


def _assert_trains(model: keras.Model, inputs: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
    """A step of `fit` lowers the loss and moves every trainable weight."""
    single = not isinstance(model.output, Mapping)
    expected = targets["output"] if single else dict(targets)
    loss = "mse" if single else dict.fromkeys(targets, "mse")
    keras.Model.compile(model, optimizer=keras.optimizers.SGD(0.001), loss=loss, run_eagerly=True)
    batch = {"batch_size": len(next(iter(inputs.values()))), "verbose": 0}
    before = [values(weight) for weight in model.trainable_weights]
    loss_before = model.evaluate(inputs, expected, return_dict=True, **batch)["loss"]
    model.fit(inputs, expected, **batch)
    # Measured outside of `fit`: some published heads drop out at a fixed rate.
    assert model.evaluate(inputs, expected, return_dict=True, **batch)["loss"] < loss_before
    still = [
        weight.path
        for weight, old in zip(model.trainable_weights, before, strict=True)
        if np.array_equal(keras.ops.convert_to_numpy(weight.value), old)
    ]
    # Softmax does not see a constant added to all scores of a row, which is all that the key's bias does.
    assert [path for path in still if not path.endswith("key/bias")] == []


def run_mixed_precision_test(make: Callable[[kb.Encoder], Any], config: kb.EncoderConfig) -> None:
    """No NaN at length 512 in bfloat16 and float16, a row of padding alone included, and close to float32."""
    inputs = features(config, batch=3, length=512, lengths=[512, 7, 0])
    exact = None
    for policy in ("float32", "mixed_bfloat16", "mixed_float16"):
        keras.utils.set_random_seed(11)
        model = make(kb.Encoder(config, dtype=policy))
        outputs = arrays(model(inputs))
        assert all(weight.dtype == "float32" for weight in model.trainable_weights)
        for name, value in outputs.items():
            assert np.isfinite(value).all(), (policy, name)
        exact = exact or outputs
        for name, value in outputs.items():
            np.testing.assert_allclose(value[:2], exact[name][:2], rtol=0, atol=0.15, err_msg=f"{policy} {name}")


def one_text(config: kb.EncoderConfig, length: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Inputs int32 `[1, length]` of a text without special tokens, as the inference graph takes them."""
    generator = np.random.default_rng(seed)
    return {
        "token_ids": generator.integers(5, config.vocab_size, (1, length)).astype("int32"),
        "padding_mask": np.ones((1, length), "int32"),
        "segment_ids": generator.integers(0, 2, (1, length)).astype("int32"),
    }
