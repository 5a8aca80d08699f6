"""One training: from a checkpoint and data to the best epoch in a folder."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

import keras_bert as kb
from keras_bert.errors import DataError, KerasBertError
from keras_bert.models.structure import restart_layers

from .. import options as shared
from ..compression.masks import PRUNED, KeepZeros, zero_share
from ..progress import FitProgress, progress_bar
from ..tasks import Evaluation, TaskAdapter
from ..tasks.base import Schedule
from .callbacks import BestEpoch, Patience, TrainingState

# Options that do not change what is learned: a resumed run may have others.
_FREE = ("resume", "output", "tensorboard", "seeds", "test", "plots", "seed", "job")


_STATE = ".training"


@dataclasses.dataclass(frozen=True)
class Splits:
    """The data of a run; `dev` and `test` may be None. `model_arguments` are what the labelled data decide about the
    model."""

    train: Any
    dev: Any
    test: Any
    model_arguments: dict[str, Any]

    @property
    def labels(self) -> Sequence[str]:
        """Their names, none where the task has none."""
        return self.model_arguments.get("labels", [])


@dataclasses.dataclass(frozen=True)
class Trained:
    """What came out of one training.

    Attributes:
        seed: its seed. output: the folder with the best epoch. epoch: that epoch, from 1.
        dev: its scores, none without a development set. test: what it does on the test set, or None.
        history: loss and scores, epoch by epoch. truncated, notes: about the training examples.
        parameters: of the model. seconds: of training, not of testing.
    """

    seed: int
    output: pathlib.Path
    epoch: int
    dev: dict[str, float]
    test: Evaluation | None
    history: list[dict[str, float]]
    truncated: int
    notes: list[str]
    parameters: int
    seconds: float

    @property
    def scores(self) -> dict[str, dict[str, float]]:
        """Metrics by split."""
        return {**({"dev": self.dev} if self.dev else {}), **({"test": self.test.scores} if self.test else {})}


def train(task: TaskAdapter, data: Splits, options: argparse.Namespace, seed: int, output: pathlib.Path) -> Trained:
    """Train with one seed, keep the best epoch in `output` (the last one without a development set), score it on the
    test set.

    What a resumed training goes on from stays in `output` until `forget_state`: the caller's record comes first.

    Raises:
        KerasBertError: data, checkpoint or options that do not fit.
    """
    started = time.time()
    keras.utils.set_random_seed(seed)
    with _devices(options):
        model, max_length = open_model(task, data.model_arguments, options)
        schedule = task.schedule(data.train, len(data.labels))
        options.learning_rate = options.learning_rate or schedule.rate_at(model.config.hidden_size)
        if options.restart_layers is None:
            options.restart_layers = _restarted(schedule, model)
        restart_layers(model, options.restart_layers)
        examples = task.training_examples(model, data.train, max_length, options)
        steps = options.epochs * examples.num_batches(options.batch_size)
        if options.adversarial is None:
            options.adversarial = schedule.adversarial_in(steps)
        zeros = zero_share(model)
        notes = list(examples.notes)
        if zeros >= PRUNED:
            notes.append(
                f"{zeros:.1%} of the weights of the layers came as zeros, as pruning leaves them: they stay zero"
            )
        model.compile(
            _optimizer(model, options, steps),
            adversarial=options.adversarial,
            adversarial_after=round(options.adversarial_after * steps),
            **task.compile_arguments(model, examples, options),
        )

    def score(model: Any) -> dict[str, float]:
        return evaluate(task, model, data.dev, max_length, lambda _: None).scores

    best = BestEpoch(score if data.dev is not None else None, output)
    settings = {name: value for name, value in vars(options).items() if name not in _FREE} | {"seed": seed}
    state = TrainingState(output / _STATE, best, settings)
    if options.resume:
        state.restore(model)
    else:
        forget_state(output)
    if state.epoch < options.epochs and not state.stopped:
        dataset = examples.dataset(model.config, batch_size=options.batch_size, seed=seed, first_epoch=state.epoch)
        progress = FitProgress(steps, done=steps // options.epochs * state.epoch)
        kept_zeros = [KeepZeros(model)] if zeros >= PRUNED else []
        with progress.shown():
            model.fit(
                dataset,
                epochs=options.epochs,
                initial_epoch=state.epoch,
                shuffle=False,
                verbose=0,
                callbacks=[*_callbacks(options, best, state, seed, kept_zeros), progress],
            )
    if data.dev is not None and (said := _nothing_learned(task, data.dev, best.scores, options)):
        notes.append(said)
    seconds = time.time() - started
    parameters = model.count_params()
    tested = None
    if data.test:
        model = task.model_class_of(output).from_pretrained(output)
        with progress_bar("evaluating", len(data.test)) as advance:
            tested = evaluate(task, model, data.test, max_length, advance)
    return Trained(
        seed, output, best.epoch, best.scores, tested, state.history, examples.truncated, notes, parameters,
        round(seconds, 1),
    )  # fmt: skip


def forget_state(output: pathlib.Path) -> None:
    """Remove what an interrupted training in `output` would go on from."""
    shutil.rmtree(output / _STATE, ignore_errors=True)


def open_model(task: TaskAdapter, arguments: Mapping[str, Any], options: argparse.Namespace) -> tuple[Any, int]:
    """The model to train, and the longest input in tokens.

    Args:
        arguments: of the model's class.

    Raises:
        KerasBertError: it has no tokenizer, or the checkpoint cannot be read.
    """
    checkpoint = shared.checkpoint_path(options.checkpoint)
    changes: dict[str, Any] = {}
    if options.precision != "float32":
        changes["dtype"] = options.precision
    if options.dropout is not None:
        changes.update(hidden_dropout=options.dropout, attention_dropout=options.dropout)
    model = task.model_class.from_pretrained(checkpoint, new_head=options.new_head, **arguments, **changes)
    if model.tokenizer is None:
        raise DataError(f"{checkpoint} holds no tokenizer: expected tokenizer.json or its vocabulary files")
    model = task.prepare(model, options)
    return model, min(options.max_length or task.max_length, model.config.max_positions)


def evaluate(task: TaskAdapter, model: Any, data: Any, max_length: int, on_item: Callable[[int], None]) -> Evaluation:
    """Scores of a model on labelled data."""
    predictions = task.predict(model, data, batch_size=64, max_length=max_length, on_item=on_item)
    return task.evaluate(predictions, data, model)


def _nothing_learned(
    task: TaskAdapter, dev: Any, scores: Mapping[str, float], options: argparse.Namespace
) -> str | None:
    """What to say where the best epoch scores what guessing does, give or take two standard errors."""
    guess = task.commonest(dev, options)
    if guess is None or "accuracy" not in scores:
        return None
    label, share = guess
    if scores["accuracy"] > share + 2 * math.sqrt(share * (1 - share) / len(dev)):
        return None
    advice = "--adversarial 0, --adversarial-after 0.3 or " if options.adversarial else ""
    return (
        f"an accuracy of {scores['accuracy']:.3f} on the development set is what guessing gives ({label!r} is"
        f" {share:.3f} of it): nothing was learned; {advice}another --learning-rate or more --epochs may help"
    )


def _restarted(schedule: Schedule, model: Any) -> int:
    """How many layers start anew where nothing else is asked for."""
    config = model.config
    count = int(schedule.restarted * config.num_layers)
    if "head" not in model.new_parts or config.num_blocks < config.num_layers:
        return 0
    return count if count and zero_share(model) < PRUNED else 0


def _devices(options: argparse.Namespace) -> Any:
    """The scope of `MirroredStrategy` where it is asked for."""
    if not options.mirrored:
        return contextlib.nullcontext()
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy()
    if options.batch_size < strategy.num_replicas_in_sync:
        raise KerasBertError(
            f"--batch-size {options.batch_size} leaves nothing for some of the {strategy.num_replicas_in_sync} devices"
        )
    return strategy.scope()


def _optimizer(model: Any, options: argparse.Namespace, steps: int) -> keras.optimizers.Optimizer:
    optimizer = kb.fine_tuning_optimizer(
        model,
        options.learning_rate,
        steps=steps,
        warmup=options.warmup,
        weight_decay=options.weight_decay,
        average=options.average,
        layer_decay=options.layer_decay,
        unfreeze=options.unfreeze,
        accumulate=options.accumulate,
    )
    # Keras does so by itself only for a model that has the policy as a whole.
    return keras.optimizers.LossScaleOptimizer(optimizer) if options.precision == "mixed_float16" else optimizer


def _callbacks(
    options: argparse.Namespace,
    best: BestEpoch,
    state: TrainingState,
    seed: int,
    before: Sequence[keras.callbacks.Callback],
) -> list[keras.callbacks.Callback]:
    callbacks: list[keras.callbacks.Callback] = []
    if options.average:
        averaged = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        # The state of an epoch's end has the average in the model and the trained weights beside it.
        averaged._ema_weights_in_model = state.epoch > 0
        callbacks.append(averaged)
    callbacks += [*before, best]
    if options.patience:
        callbacks.append(Patience(best, options.patience))
    if options.tensorboard:
        folder = pathlib.Path(options.tensorboard)
        callbacks.append(keras.callbacks.TensorBoard(folder / f"seed-{seed}" if options.seeds > 1 else folder))
    return [*callbacks, state]
