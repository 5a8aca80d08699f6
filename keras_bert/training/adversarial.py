"""Adversarial training: each batch also as it is where moved embeddings make its loss rise fastest."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from ..errors import ConfigError
from ..layers.embeddings import changed_embeddings

_TINY = 1e-20  # added to squared norms, so that a gradient of zeros moves nothing


class AdversarialTraining:
    """Base of models whose `compile` takes `adversarial`: with it `fit` learns from two losses, in equal parts.

    One is the loss of the batch. For the other the embedded tokens of each text, `[length, embedding_size]` before
    LayerNorm, move as one vector by `adversarial` times their own norm, along the gradient of the first loss (Miyato,
    Dai and Goodfellow 2017, equation 5; there the embeddings are normalised and the way is of one length for all).
    The loss and the metrics that are shown are those of the batch as it is, but for Keras's own loss of each of several
    outputs, which is the mean of both. A step takes twice the time. TensorFlow is the only backend.

    Attributes:
        adversarial: how far, as a share of the norm; 0, the default: the first loss alone.
        adversarial_after: steps of the optimizer before that, by the first loss alone: a model that tells nothing apart
            yet may learn nothing from moved embeddings.
    """

    adversarial: float = 0.0
    adversarial_after: int = 0
    _moves: bool = True
    train_function: Any

    def set_adversarial(self, size: float, after: int = 0) -> None:
        """What `compile` hands on.

        Raises:
            ConfigError: negative or not finite, or above 0 on another backend than TensorFlow.
        """
        if not (math.isfinite(size) and size >= 0):
            raise ConfigError(f"adversarial: expected a number from 0 up, got {size}")
        if after < 0:
            raise ConfigError(f"adversarial_after: expected a number of steps from 0 up, got {after}")
        backend = keras.backend.backend()
        if size and backend != "tensorflow":
            raise ConfigError(f"adversarial: such training needs the backend tensorflow, and Keras runs on {backend}")
        self.adversarial, self.adversarial_after = float(size), int(after)
        self.train_function = None  # which knows the size

    def moved_loss(self, **arguments: Any) -> Any:
        """The second loss, from the arguments of `compute_loss`."""
        return self.compute_loss(**arguments)  # type: ignore[attr-defined]

    def train_step(self, *arguments: Any) -> Any:
        """As `keras.Model.train_step`."""
        if not (self.adversarial and self._moves):
            return super().train_step(*arguments)  # type: ignore[misc]
        return _adversarial_step(self, *arguments)

    def make_train_function(self, force: bool = False) -> Any:
        """As that of `keras.Model`, but made anew after so many steps."""
        if self.train_function is not None and not force:
            return self.train_function
        self._moves = self._steps_taken() >= self.adversarial_after
        super().make_train_function(force=force)  # type: ignore[misc]
        if self.adversarial and not self._moves:
            plain = self.train_function

            def step(iterator: Any) -> Any:
                if self._steps_taken() < self.adversarial_after:
                    return plain(iterator)
                return self.make_train_function(force=True)(iterator)

            self.train_function = step
        return self.train_function

    def _steps_taken(self) -> int:
        return int(ops.convert_to_numpy(self.optimizer.iterations)) if self.adversarial_after else 0  # type: ignore


class _Pass(NamedTuple):
    """Through the model and back: `embedded` is `[batch, length, embedding_size]`, `uphill` the gradient by it."""

    outputs: Any
    loss: Any
    gradients: list[Any]
    embedded: Any
    uphill: Any


def _adversarial_step(model: Any, data: Any) -> dict[str, Any]:
    import tensorflow as tf

    x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
    given = {"x": x, "y": y, "sample_weight": weight, "training": True}
    first = _pass(model, model.compute_loss, given, lambda embedded: embedded)
    moved = _moved(first.embedded, first.uphill, model.adversarial)
    second = _pass(model, model.moved_loss, given, lambda embedded: embedded + ops.cast(moved, embedded.dtype))
    count = tf.shape(tf.nest.flatten(x)[0])[0]
    # Keras's losses come divided by the number of replicas.
    shown = first.loss * tf.distribute.get_strategy().num_replicas_in_sync
    for metric in model.metrics:
        if metric.name == "loss":
            metric.update_state(shown, sample_weight=count)
    mean = [_mean(*pair) for pair in zip(first.gradients, second.gradients, strict=True)]
    model.optimizer.apply_gradients(zip(mean, model.trainable_weights, strict=True))
    return model.compute_metrics(x, y, first.outputs, sample_weight=weight)


def _pass(model: Any, loss_of: Callable[..., Any], given: dict[str, Any], change: Callable[[Any], Any]) -> _Pass:
    import tensorflow as tf

    seen: list[Any] = []

    def read(embedded: Any) -> Any:
        # A teacher that runs after its student reads what it is given.
        if not seen:
            seen.append(change(embedded))
            return seen[0]
        return embedded

    with tf.GradientTape() as tape, changed_embeddings(read):
        outputs = model(given["x"], training=True)
        loss = loss_of(y_pred=outputs, **given)
        scaled = model.optimizer.scale_loss(loss)
    *gradients, uphill = tape.gradient(scaled, [*(v.value for v in model.trainable_weights), *seen])
    return _Pass(outputs, loss, gradients, seen[0], uphill)


def _moved(embedded: Any, uphill: Any, size: float) -> Any:
    """What to add to the embedded tokens, float32 of their shape; nothing to tokens that the loss does not read."""
    embedded, uphill = ops.cast(embedded, "float32"), ops.cast(uphill, "float32")
    read = ops.cast(ops.any(ops.not_equal(uphill, 0), axis=-1, keepdims=True), "float32")
    return size * _norm(embedded * read) * uphill / _norm(uphill)


def _norm(rows: Any) -> Any:
    """Of each text, `[batch, 1, 1]`."""
    return ops.sqrt(ops.sum(ops.square(rows), axis=(1, 2), keepdims=True) + _TINY)


def _mean(first: Any, second: Any) -> Any:
    """Of two gradients; none where the loss does not read the weight, rows of a table as rows."""
    import tensorflow as tf

    if first is None:
        return None
    if not isinstance(first, tf.IndexedSlices):
        return (first + second) / 2
    rows = tf.concat([first.values, second.values], axis=0) / 2
    return tf.IndexedSlices(rows, tf.concat([first.indices, second.indices], axis=0), first.dense_shape)
