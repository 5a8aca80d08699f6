"""A pretraining run made ready: its data opened, its network built or restored, before the first step."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from typing import Any

import keras

from ..data.pretraining import PretrainingData
from ..data.shards import MANIFEST, file_sha256
from ..errors import ConfigError, TrainingError
from ..models.pretraining import pretraining_network
from .batches import HeldOut, lanes_of, open_held_out
from .initial import initial_model, start_from_counts
from .objectives import Objective
from .optimizers import OPTIMIZERS
from .run_config import RunConfig
from .schedules import WarmupPolynomialDecay
from .state import Progress, restore_state
from .step import PretrainingStep
from .strategies import Distribution
from .teacher import TripleObjective, read_teacher
from .work_dir import WorkDir


@dataclasses.dataclass
class Run:
    """One process of a run, ready to take steps; made by `prepare`.

    Attributes:
        data, held_out: examples to train on and, perhaps, to evaluate on. lanes: in how many lanes `data` is read.
        model: the task model. step: its compiled steps. progress: where the run is.
    """

    config: RunConfig
    work_dir: WorkDir
    distribution: Distribution
    data: PretrainingData
    held_out: HeldOut | None
    lanes: int
    model: Any
    step: PretrainingStep
    progress: Progress


def prepare(config: RunConfig, work_dir: str | os.PathLike[str], distribution: Distribution) -> Run:
    """Open the data, build or restore everything: what happens before the first step.

    Raises:
        KerasBertError: the work dir is another run's, the batch cannot be cut, data or checkpoints are broken, or a
            worker does not see the chief's checkpoint.
    """
    training, seed = config.training, config.training.seed
    if not config.data.folder:
        raise ConfigError("data.folder: expected a folder of shards (also --data), got nothing")
    distribution = distribution.with_micro_batches(training.batch_size, training.micro_batch_size)
    data = PretrainingData(config.data.folder, config.examples, seed=seed)
    lanes = lanes_of(data, config.data.lanes, training.batch_size, distribution.num_workers)
    held_out = open_held_out(config, data, distribution)
    folder = WorkDir(work_dir)
    fingerprint = file_sha256(data.folder / MANIFEST)
    folder.check(config, fingerprint)
    if distribution.is_chief:
        folder.lock()
    saved = last_checkpoint(folder, distribution, config.distribution.worker_timeout)
    keras.utils.set_random_seed(seed)
    with distribution.strategy.scope():
        objective, teacher = Objective(), None
        if config.distillation.wanted:
            teacher = read_teacher(config, data.tokenizer)
            objective = TripleObjective(teacher, config)
        model = initial_model(config, data.tokenizer, teacher, saved)
        network = pretraining_network(
            model,
            packed=config.examples.pack,
            rematerialize=training.rematerialize,
            hidden=objective.reads_hidden_states,
        )
        step = PretrainingStep(
            network,
            _optimizer(config),
            distribution,
            objective=objective,
            seed=seed,
            clip_norm=config.optimizer.clip_norm or None,
            loss_scaling=training.precision == "float16",
            jit_compile=training.jit_compile,
        )
    if config.model.tokens == "cooccurrence" and not saved:
        start_from_counts(model.encoder, data, distribution)
    progress = restore_state(saved, model, step) if saved else Progress()
    if distribution.is_chief:
        folder.begin(config, fingerprint)
        folder.rewind_metrics(progress.step)
    return Run(config, folder, distribution, data, held_out, lanes, model, step, progress)


def last_checkpoint(folder: WorkDir, distribution: Distribution, timeout: float) -> pathlib.Path | None:
    """The chief's last one, on all workers: a file system that they share may show it to some of them late.

    Raises:
        TrainingError: this worker did not see it within `timeout` seconds.
    """
    step = distribution.of_chief(max(folder.saved(), default=-1))
    if step < 0:
        return None
    deadline = time.monotonic() + timeout
    while (found := folder.saved().get(step)) is None:
        if time.monotonic() > deadline:
            raise TrainingError(
                f"worker {distribution.worker} did not see {folder.checkpoint_path(step)}, from which worker 0 goes "
                f"on, within {timeout:g} seconds (distribution.worker_timeout): expected a --work-dir that all share"
            )
        time.sleep(0.1)
    return found


def _optimizer(config: RunConfig) -> Any:
    settings = config.optimizer
    schedule = WarmupPolynomialDecay(
        settings.learning_rate,
        settings.warmup_steps,
        config.training.steps,
        power=settings.power,
        end=settings.end_learning_rate,
    )
    return OPTIMIZERS[settings.name](
        schedule,
        weight_decay=settings.weight_decay,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
        bias_correction=settings.bias_correction or settings.name == "lamb",
    )
