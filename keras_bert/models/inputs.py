"""The inputs of every model: `token_ids`, `padding_mask` and, where the family has segments, `segment_ids`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from ..config import EncoderConfig
from ..errors import InputError


def model_inputs(config: EncoderConfig) -> dict[str, keras.KerasTensor]:
    """Symbolic inputs, int32 `[batch, length]` each, both of any size."""
    names = ["token_ids", "padding_mask", *(["segment_ids"] if config.uses_segments else [])]
    return {name: keras.Input((None,), dtype="int32", name=name) for name in names}


def complete_inputs(config: EncoderConfig, inputs: Any) -> Any:
    """`inputs` checked, with what follows from the token ids filled in: no padding but pad tokens, segment 0.

    Raises:
        InputError: an input the model does not have, ids outside the vocabulary, a text longer than the positions,
            or shapes that differ.
    """
    if not isinstance(inputs, Mapping):
        return inputs
    known = {"token_ids", "padding_mask", *(("segment_ids",) if config.uses_segments else ())}
    if unknown := sorted(set(inputs) - known):
        hint = f"; {config.family} models have no segments" if "segment_ids" in unknown else ""
        raise InputError(f"unknown input {', '.join(unknown)}: this model takes {', '.join(sorted(known))}{hint}")
    if "token_ids" not in inputs:
        raise InputError(f"the input token_ids is missing: got {', '.join(sorted(inputs)) or 'nothing'}")
    inputs = {name: _from_list(name, value) for name, value in inputs.items()}
    ids = inputs["token_ids"]
    _check_shape(ids, config)
    _check_values("token_ids", ids, config.vocab_size, "the vocabulary")
    # What is filled in is NumPy where the ids are, so that `fit` and `predict` can slice all inputs alike.
    host = isinstance(ids, np.ndarray)
    if "segment_ids" in inputs:
        _check_values("segment_ids", inputs["segment_ids"], config.num_segments)
    elif config.uses_segments:
        inputs["segment_ids"] = np.zeros_like(ids) if host else ops.zeros_like(ids)
    if "padding_mask" not in inputs:
        seen = ids != config.pad_token_id
        inputs["padding_mask"] = seen.astype("int32") if host else ops.cast(seen, "int32")
    for name, value in inputs.items():
        if isinstance(value, np.ndarray) and isinstance(ids, np.ndarray) and value.shape != ids.shape:
            raise InputError(f"{name} has shape {value.shape}, expected {ids.shape}, the shape of token_ids")
    return inputs


def _from_list(name: str, values: Any) -> Any:
    """Nested lists as an array; anything else as it is."""
    if not isinstance(values, (list, tuple)):
        return values
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(f"{name} has rows of different lengths: pad them to one length") from None


def _check_shape(ids: Any, config: EncoderConfig) -> None:
    if not hasattr(ids, "shape"):
        raise InputError(f"token_ids: expected an array [batch, length], got {type(ids).__name__}")
    if len(ids.shape) != 2:
        raise InputError(f"token_ids has shape {tuple(ids.shape)}, expected [batch, length]")
    length = ids.shape[1]
    if length == 0:
        raise InputError("token_ids is empty: a text has at least one token")
    if length is not None and length > config.max_positions:
        raise InputError(f"{length} tokens are too long: this model has {config.max_positions} positions")


def _check_values(name: str, values: Any, rows: int, table: str = "the segment table") -> None:
    """Ids outside a table would gather zeros or garbage on some devices; on the host they can be found."""
    if _is_on_host(values):
        values = np.asarray(values)
    if not isinstance(values, np.ndarray) or not values.size:
        return
    if not np.issubdtype(values.dtype, np.integer):
        raise InputError(f"{name} must be whole numbers, got dtype {values.dtype}")
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= rows:
        raise InputError(f"{name} holds {low if low < 0 else high}, outside {table} of {rows} rows")


def _is_on_host(values: Any) -> bool:
    """Whether `values` is a TensorFlow tensor with values that can be read without waiting for an accelerator."""
    if keras.backend.backend() != "tensorflow" or isinstance(values, np.ndarray):
        return False
    import tensorflow as tf

    return isinstance(values, tf.Tensor) and hasattr(values, "numpy") and "CPU" in values.device


def _checked_batches(config: EncoderConfig, batches: Any) -> Any:
    """A `tf.data.Dataset` that also looks for ids outside the tables, on the host where it runs; else `batches` itself.

    Such an id stops `fit`, `evaluate` or `predict` with TensorFlow's InvalidArgumentError, whose message names it.
    """
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    from ..data.pipeline import read_ahead

    if not isinstance(batches, tf.data.Dataset):
        return batches
    tables = {"token_ids": config.vocab_size, "segment_ids": config.num_segments}

    def check(*batch: Any) -> Any:
        features = batch[0]
        checks = []
        for name in tables.keys() & set(features if isinstance(features, Mapping) else ()):
            ids, rows = tf.cast(features[name], tf.int64), tables[name]
            wrong = tf.boolean_mask(ids, tf.logical_or(ids < 0, ids >= rows))
            message = [f"{name} holds an id outside its table of {rows} rows:", wrong]
            checks.append(tf.debugging.Assert(tf.equal(tf.size(wrong), 0), message))
        with tf.control_dependencies(checks):
            checked = tf.nest.map_structure(tf.identity, batch)
        return checked if len(batch) > 1 else checked[0]

    return read_ahead(batches.map(check))


def jit_default() -> bool:
    """Whether `compile` compiles by XLA unless told: on JAX alone."""
    return keras.backend.backend() == "jax"


def build_optimizer(model: keras.Model) -> None:
    """Make the variables of a compiled model's optimizer before `fit` does: TensorFlow traces a step that makes
    variables twice, which is seconds."""
    if keras.backend.backend() != "tensorflow" or model.optimizer is None or model.optimizer.built:
        return
    with model.distribute_strategy.scope() if model.distribute_strategy else contextlib.nullcontext():
        model.optimizer.build(model.trainable_variables)


def _answer_of_any_size(model: keras.Model) -> Callable[[Mapping[str, Any]], Any]:
    """The model's outputs for complete inputs, traced once."""
    import tensorflow as tf

    signature = {tensor.name: tf.TensorSpec((None, None), tf.int32) for tensor in model.inputs}
    function = tf.function(
        lambda features: model(features, training=False), input_signature=[signature], autograph=False
    )

    def answer(features: Mapping[str, Any]) -> Any:
        return function({name: tf.cast(values, tf.int32) for name, values in features.items()})

    return answer  # no `tf.function` itself: that would become a part of the model when it is saved


class CheckedModel(keras.Model):
    """A model over `EncoderConfig` inputs that checks and completes what it is called with."""

    config: EncoderConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.jit_compile = jit_default()
        self._answer: Callable[[Mapping[str, Any]], Any] | None = None

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        jit_compile: bool | str | None = None,
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.compile`. `jit_compile=None` compiles on JAX alone: batches come in many lengths, and XLA
        would compile TensorFlow's graph anew for each."""
        jit_compile = jit_default() if jit_compile is None else jit_compile
        self._answer = None  # as Keras makes its functions anew
        super().compile(optimizer, loss=loss, metrics=metrics, jit_compile=jit_compile, **kwargs)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(complete_inputs(self.config, inputs), *args, **kwargs)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        if "validation_data" in kwargs:
            kwargs["validation_data"] = _checked_batches(self.config, kwargs["validation_data"])
        build_optimizer(self)
        return super().fit(self._checked(x), *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        return super().evaluate(self._checked(x), *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return super().predict(self._checked(x), *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """As `keras.Model.predict_on_batch`. On TensorFlow one graph answers batches of all sizes, where Keras traces
        one for each of the first few shapes."""
        plain = self.run_eagerly or self.jit_compile or self.distribute_strategy.num_replicas_in_sync > 1
        if keras.backend.backend() != "tensorflow" or plain or not isinstance(x, Mapping):
            return super().predict_on_batch(x)
        if self._answer is None:
            self._answer = _answer_of_any_size(self)
        features = complete_inputs(self.config, x)
        return keras.tree.map_structure(ops.convert_to_numpy, self._answer(features))

    def _checked(self, x: Any) -> Any:
        return _checked_batches(self.config, complete_inputs(self.config, x))
