"""One optimizer step over a global batch, the same for every strategy, and several of them a call."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..layers.fusion import compiled_on_cpu, fused_elementwise
from ..models.pretraining import PretrainingNetwork
from ..processor import instruction_sets
from .objectives import SMOOTHING, SUMS, Objective, total_weights
from .optimizers import MomentOptimizer
from .run_config import AUTO, ELEMENTWISE, check_jit_compile
from .strategies import Distribution

# What a step returns, in order.
RESULTS = (*SUMS, "gradient_norm", "learning_rate", "loss_scale", "skipped")
# float16's gradients are scaled up so that small ones do not vanish: from 2**15, doubled after 2,000 good steps, halved
# at a step that is not finite (Micikevicius et al. 2018, section 3.2; the numbers are those of its implementations).
FIRST_SCALE, GROWTH_STEPS, LARGEST_SCALE = 2.0**15, 2000, 2.0**24


class PretrainingStep:
    """The compiled steps of one network and one optimizer under one strategy.

    On one device the whole step is one XLA program. On several, XLA holds each replica's forward and backward pass and
    the optimizer's arithmetic; gradients are summed between the two, once a step.

    Args:
        network: what `keras_bert.models.pretraining_network` returns; made inside the strategy's scope, as is this.
        seed: dropout is a function of it, the step, the micro-batch and the replica.
        objective: the loss; None is the family's own.
        clip_norm: largest norm of the whole gradient; None does not clip.
        loss_scaling: for float16.
        jit_compile: XLA (a TPU compiles in any case); "elementwise": for what lies between the products alone, see
            `keras_bert.layers.fused_elementwise`; "auto": that on a CPU for bfloat16 and, where there is AVX512, for
            float32, True for all else.

    Attributes:
        jit_compile: as above, "auto" decided.
        state: the variables beside weights and slots that go on from step to step, by name.

    Raises:
        ConfigError: `jit_compile` is none of these.
    """

    def __init__(
        self,
        network: PretrainingNetwork,
        optimizer: MomentOptimizer,
        distribution: Distribution,
        *,
        objective: Objective | None = None,
        seed: int = 0,
        clip_norm: float | None = 1.0,
        loss_scaling: bool = False,
        jit_compile: bool | str = AUTO,
    ) -> None:
        check_jit_compile("jit_compile", jit_compile)
        if jit_compile == AUTO:
            precision = network.model.encoder.embeddings.compute_dtype
            # XLA's products on a CPU are written in AVX2, those that TensorFlow takes from oneDNN in what there is.
            quicker = precision == "bfloat16" or (precision == "float32" and "avx512f" in instruction_sets())
            jit_compile = ELEMENTWISE if distribution.is_cpu and quicker else True
        self.network, self.optimizer, self.distribution = network, optimizer, distribution
        self.objective = objective or Objective()
        self.seed, self.clip_norm, self.loss_scaling = seed, clip_norm, loss_scaling
        self.trainable = list(network.trainable_variables)
        optimizer.build(self.trainable)
        self.loss_scale, self.good_steps = (
            keras.Variable(value, name=name, trainable=False, dtype="float32", aggregation="only_first_replica")
            for name, value in (("loss_scale", FIRST_SCALE if loss_scaling else 1.0), ("good_steps", 0.0))
        )
        self.state = {
            "iterations": optimizer.iterations,
            "loss_scale": self.loss_scale,
            "good_steps": self.good_steps,
        }
        self.jit_compile = jit_compile
        self._fuses = jit_compile == ELEMENTWISE and not distribution.is_tpu
        self._compiles = bool(jit_compile) or distribution.is_tpu
        nested = jit_compile is True and not distribution.is_tpu
        self._single = distribution.num_replicas == 1 and not distribution.is_tpu
        self._gradients = _compiler(nested and not self._single)(self._accumulate)
        self._new = _compiler(self._fuses or (nested and not self._single))(self._new_values)
        self._replica = _compiler(nested and self._single)(self._replica_step)
        self._forward = _compiler(nested)(self._evaluate_micro_batch)
        self._calls: dict[int, Callable[..., tf.Tensor]] = {}
        self._evaluation = tf.function(self._evaluation_call, autograph=False)

    def run(self, batches: Sequence[Mapping[str, np.ndarray]], step: int) -> np.ndarray:
        """Take one optimizer step a batch.

        Args:
            batches: this worker's part of consecutive global batches; features by name `[rows, ...]`, rows cut into
                replicas, micro-batches and examples by `Distribution.rows`.
            step: number of steps taken before the first one.

        Returns:
            `RESULTS` a step, float32 `[len(batches), 13]`, over the global batch.
        """
        count = len(batches)
        if count not in self._calls:
            self._calls[count] = tf.function(lambda stacked, first: self._call(stacked, first, count), autograph=False)
        stacked = self.distribution.place(batches)
        return self._calls[count](stacked, tf.constant(step, tf.int64)).numpy()

    def evaluate(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """`SUMS` over a global batch, of which `batch` is this worker's part; no dropout, losses not divided."""
        whole = dataclasses.replace(self.distribution, micro_batches=1)
        return self._evaluation(whole.place([batch])).numpy()

    # === Inside the graph ===

    def _call(self, stacked: Any, first: tf.Tensor, count: int) -> tf.Tensor:
        strategy = self.distribution.strategy

        def body(i: tf.Tensor, results: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            result = strategy.run(self._sliced_step, args=(stacked, i, first + tf.cast(i, tf.int64)))
            return i + 1, results.write(i, strategy.experimental_local_results(result)[0])

        results = tf.TensorArray(tf.float32, size=count, element_shape=[len(RESULTS)])
        if count == 1:
            return body(tf.constant(0), results)[1].stack()
        return tf.while_loop(
            lambda i, _: i < count, body, (tf.constant(0), results), parallel_iterations=1, maximum_iterations=count
        )[1].stack()

    def _sliced_step(self, stacked: Mapping[str, tf.Tensor], i: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        return self._replica({name: value[i] for name, value in stacked.items()}, step)

    def _replica_step(self, batch: Mapping[str, tf.Tensor], step: tf.Tensor) -> tf.Tensor:
        """One step of one replica; `batch` is `[micro-batches, examples, ...]`."""
        context = tf.distribute.get_replica_context()
        replica = tf.constant(0) if self._single else context.replica_id_in_sync_group
        (totals,) = self._summed([total_weights(batch)])
        # Read here and handed over: a compiled function must not read what another one assigns.
        scale = tf.convert_to_tensor(self.loss_scale.value)
        gradients, sums = self._gradients(batch, totals, scale, step, replica)
        *gradients, sums = self._summed([*gradients, sums])
        variables = self._assigned()
        # Not by the program of the new values: XLA's sum of squares writes the squares first on a CPU.
        norm = tf.linalg.global_norm(gradients)
        values, results = self._new(gradients, norm, [tf.convert_to_tensor(v.value) for v in variables])
        self._assign(variables, values)
        return tf.concat([sums, results], axis=0)

    def _accumulate(
        self, batch: Mapping[str, tf.Tensor], totals: tf.Tensor, scale: tf.Tensor, step: tf.Tensor, replica: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Gradients of the scaled loss, float32, and `SUMS`, added up over the micro-batches of one replica."""
        count = batch["token_ids"].shape[0]
        index = (step * self.distribution.num_replicas + tf.cast(replica, tf.int64)) * count

        def micro(i: Any) -> tuple[list[tf.Tensor], tf.Tensor]:
            return self._micro_batch(
                {name: value[i] for name, value in batch.items()}, totals, scale, index + tf.cast(i, tf.int64)
            )

        if count == 1:
            return micro(0)

        def body(i: tf.Tensor, gradients: list[tf.Tensor], sums: tf.Tensor) -> tuple:
            more, more_sums = micro(i)
            return i + 1, [a + b for a, b in zip(gradients, more, strict=True)], sums + more_sums

        zeros = [tf.zeros(variable.shape, tf.float32) for variable in self.trainable]
        start = (tf.constant(0), zeros, tf.zeros([len(SUMS)]))
        _, gradients, sums = tf.while_loop(
            lambda i, *_: i < count, body, start, parallel_iterations=1, maximum_iterations=count
        )
        return gradients, sums

    def _micro_batch(
        self, batch: Mapping[str, tf.Tensor], totals: tf.Tensor, scale: tf.Tensor, index: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        taught = self.objective.taught(batch)
        with self._for_compiler():
            with tf.GradientTape() as tape:
                seed = self._dropout_seed(index)
                inputs = self._inputs(batch)
                outputs = self.network(inputs, training=True, dropout_seed=seed, fused_dropout=self._compiles)
                loss, sums = self.objective.losses(outputs, batch, totals, taught)
                loss = loss * scale
            gradients = tape.gradient(
                loss, [v.value for v in self.trainable], unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
        # The token table's gradient comes as slices from the look-up and the tied decoder; the sum of both is dense.
        return [tf.cast(tf.convert_to_tensor(gradient), tf.float32) for gradient in gradients], sums

    @contextlib.contextmanager
    def _for_compiler(self) -> Iterator[None]:
        """Inside, the network and its losses are written for who computes them."""
        with fused_elementwise(self._fuses), compiled_on_cpu(self._compiles and self.distribution.is_cpu):
            yield

    def _dropout_seed(self, index: tf.Tensor) -> tf.Tensor:
        """int32 `[2]`, drawn from the run's seed and the number of the micro-batch alone."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), index])
        return tf.random.stateless_uniform([2], seed, minval=None, maxval=None, dtype=tf.int32, alg="philox")

    def _inputs(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {name: batch[name] for name in self.network.inputs_needed}

    def _assigned(self) -> list[keras.Variable]:
        """What a step changes, in the order of `_new_values`."""
        optimizer = self.optimizer
        return [
            *self.trainable,
            *optimizer.first_moments,
            *optimizer.second_moments,
            optimizer._iterations,
            self.loss_scale,
            self.good_steps,
        ]

    def _new_values(
        self, gradients: list[tf.Tensor], norm: tf.Tensor, old: list[tf.Tensor]
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """New values of `_assigned`, and the results beside `SUMS`; `norm` is that of all the gradients given."""
        count, optimizer = len(self.trainable), self.optimizer
        iterations, scale, good = old[-3:]
        if self.loss_scaling:
            gradients, norm = [gradient / scale for gradient in gradients], norm / scale
        if self.clip_norm is not None:
            factor = self.clip_norm / tf.maximum(norm, self.clip_norm)
            gradients = [gradient * factor for gradient in gradients]
        rate = optimizer._learning_rate
        rate = tf.cast(rate(iterations) if callable(rate) else rate, tf.float32)
        corrections = optimizer.corrections(iterations)
        values: list[list[tf.Tensor]] = [[], [], []]
        for i, gradient in enumerate(gradients):
            slots = (old[i], old[count + i], old[2 * count + i])
            for column, value in zip(
                values,
                optimizer.new_values(gradient, *slots, rate, corrections, optimizer.excluded[i]),
                strict=True,
            ):
                column.append(value)
        new = [*values[0], *values[1], *values[2], iterations + 1]
        skipped = tf.constant(0.0)
        if self.loss_scaling:
            finite = tf.math.is_finite(norm)
            new = [tf.where(finite, value, before) for value, before in zip(new, old[:-2], strict=True)]
            skipped = tf.cast(tf.logical_not(finite), tf.float32)
            grown = good + 1 >= GROWTH_STEPS
            good = tf.where(tf.logical_or(grown, tf.logical_not(finite)), 0.0, good + 1)
            larger = tf.where(grown, tf.minimum(scale * 2, LARGEST_SCALE), scale)
            scale = tf.where(finite, larger, tf.maximum(scale / 2, 1.0))
        return [*new, scale, good], tf.stack([norm, rate, scale, skipped])

    def _summed(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        if self._single:
            return values
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)

    def _assign(self, variables: list[keras.Variable], values: list[tf.Tensor]) -> None:
        if self._single:
            for variable, value in zip(variables, values, strict=True):
                variable.value.assign(value)
            return

        def everywhere(strategy: tf.distribute.Strategy, values: list[Any]) -> None:
            for variable, value in zip(variables, values, strict=True):
                strategy.extended.update(variable.value, lambda v, x: v.assign(x), args=(value,), group=False)

        tf.distribute.get_replica_context().merge_call(everywhere, args=(values,))

    def _evaluation_call(self, stacked: Any) -> tf.Tensor:
        strategy = self.distribution.strategy
        return strategy.experimental_local_results(strategy.run(self._evaluation_step, args=(stacked,)))[0]

    def _evaluation_step(self, stacked: Mapping[str, tf.Tensor]) -> tf.Tensor:
        sums = self._forward({name: value[0, 0] for name, value in stacked.items()})
        return self._summed([sums])[0]

    def _evaluate_micro_batch(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        undivided = tf.fill([3], 1 - SMOOTHING)
        with self._for_compiler():
            outputs = self.network(self._inputs(batch), training=False)
            return self.objective.losses(outputs, batch, undivided, self.objective.taught(batch))[1]


def _compiler(jit_compile: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Wraps a function for XLA, or leaves it to the graph that calls it."""
    if not jit_compile:
        return lambda function: function
    return lambda function: tf.function(function, jit_compile=True, autograph=False)
