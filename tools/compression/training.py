"""Training on a task with everything compression adds: a teacher, masks, a first epoch that counts."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

import keras_bert as kb
from keras_bert.data.batches import TokenizedTexts
from keras_bert.errors import KerasBertError

from .. import options as shared
from ..progress import FitProgress, progress_bar
from ..tasks import Evaluation, TaskAdapter
from ..tasks.base import FEW_TEXTS, Schedule
from .altered import altered_copies, in_ids, joined, joined_targets, with_copies
from .distiller import DistillationLosses, Distiller
from .masks import KeepZeros
from .soft_labels import PER_TOKEN, SoftLabels, cached_logits, distillation_dataset, ids_in, teacher_logits

EPOCHS = {"distill": 5, "prune": 3}  # of each job; a student of fewer layers has more to learn again


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """As the options of `keras-bert finetune` of the same names; None is its default for the student and its task."""

    epochs: int = 3
    batch_size: int = 32
    learning_rate: float | None = None
    warmup: float = 0.1
    weight_decay: float = 0.01
    average: float = 0.1
    adversarial: float | None = None
    copies: int | None = None
    max_length: int | None = None
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Trained:
    """The best epoch, its scores on the development set, what `fit` recorded, and what settings left open came to."""

    epoch: int
    scores: dict[str, float]
    history: dict[str, list[float]]
    seconds: float
    learning_rate: float
    adversarial: float
    copies: int
    notes: list[str]


def add_training_options(parser: argparse.ArgumentParser, *, epochs: int, learning_rate: float | None = None) -> None:
    """Options that become `TrainingSettings`, with these defaults."""
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=int, default=epochs, help="default: %(default)s")
    group.add_argument("--batch-size", type=shared.positive(int), default=32)
    rate = learning_rate or "that of finetune for the student's task and width"
    group.add_argument(
        "--learning-rate", type=shared.positive(float), default=learning_rate, help=f"peak; default: {rate}"
    )
    group.add_argument(
        "--warmup", type=shared.share(below_one=False), default=0.1, help="share of the steps it rises (default 0.1)"
    )
    group.add_argument("--weight-decay", type=float, default=0.01)
    group.add_argument(
        "--average", type=shared.share(), default=0.1, help="average weights over this share of the steps (0.1)"
    )
    group.add_argument(
        "--adversarial",
        type=shared.share(),
        metavar="SIZE",
        help="as of finetune; default: that for the student's task",
    )
    group.add_argument("--max-length", type=shared.positive(int), help="longest input in tokens; default: the task's")
    group.add_argument("--seed", type=int, default=0)


def add_loss_options(parser: argparse.ArgumentParser) -> None:
    """Options that become `DistillationLosses`."""
    group = parser.add_argument_group("what is learned from the teacher, and how much each part weighs")
    group.add_argument("--soft", type=float, default=1.0, help="its logits (default 1)")
    group.add_argument("--hard", type=float, default=0.5, help="the labels of the data (default 0.5)")
    group.add_argument("--temperature", type=shared.positive(float), default=2.0, help="of the logits (default 2)")
    group.add_argument("--hidden", type=float, default=0.0, help="its hidden states, layer by layer (default 0)")
    group.add_argument("--attention", type=float, default=0.0, help="its attention scores (default 0)")
    group.add_argument("--relations", type=float, default=0.0, help="relations of queries, keys and values (default 0)")
    group.add_argument("--relation-layer", type=int, metavar="N", help="of the teacher, from 0; default: its last")
    group.add_argument("--relation-heads", type=shared.positive(int), metavar="N", help="default: the teacher's heads")
    add_text_options(group)
    group.add_argument("--teacher-logits", metavar="FILE", help="keep its logits in FILE, or take them from there")


def add_text_options(group: Any) -> None:
    """`--unlabelled` and `--copies`, more texts for the teacher to label, on a parser or on a group of one."""
    group.add_argument(
        "--unlabelled",
        metavar="FILE",
        help="texts of the task without labels, one a line (a tab parts pairs), which the teacher labels; each epoch"
        " goes through them too",
    )
    group.add_argument(
        "--copies",
        type=shared.not_negative(int),
        metavar="N",
        help="in every epoch as many altered copies of each training text, new ones, which the teacher labels; each"
        f" takes the time of an epoch (default: 1 for tags of at most {FEW_TEXTS:,} texts, else 0)",
    )


def settings_from(options: argparse.Namespace) -> TrainingSettings:
    """The settings of the command line."""
    return TrainingSettings(**{f.name: getattr(options, f.name) for f in dataclasses.fields(TrainingSettings)})


def losses_from(options: argparse.Namespace) -> DistillationLosses:
    """The losses of the command line.

    Raises:
        KerasBertError: a part has a weight below 0, which would train away from the teacher; or more texts are to be
            labelled by a teacher that nothing is learned from.
    """
    losses = DistillationLosses(**{f.name: getattr(options, f.name) for f in dataclasses.fields(DistillationLosses)})
    for name, weight in losses.weights.items():
        if not 0 <= weight < math.inf:
            raise KerasBertError(f"--{name}: expected a weight of 0 or more, got {weight}")
    for name in ("copies", "unlabelled"):
        if getattr(options, name) and not losses.learn_from_teacher:
            raise KerasBertError(
                f"--{name}: texts for the teacher to label, but nothing is learned from it: expected --soft above 0"
            )
    return losses


def train(
    task: TaskAdapter,
    student: Any,
    train_data: Any,
    dev_data: Any,
    output: pathlib.Path,
    settings: TrainingSettings,
    losses: DistillationLosses,
    options: argparse.Namespace,
    *,
    teacher: Any = None,
    unlabelled: Any = None,
    logits_file: str | None = None,
    optimizer: Callable[..., keras.optimizers.Optimizer] = kb.adamw,
    callbacks: Callable[[int, int], tuple[Sequence[keras.callbacks.Callback], int]] | None = None,
) -> Trained:
    """Train `student` and keep its best epoch in `output`.

    Args:
        options: of the command line, for the task's own.
        teacher: None learns from the labels alone. Of a text that has one answer it reads its own tokens, of others
            the student's, all of which are among its own.
        unlabelled: data like `train_data` whose labels mean nothing; from them only the teacher's are learned.
        logits_file: where the teacher's logits are kept between runs.
        optimizer: called like `keras_bert.adamw`.
        callbacks: (steps an epoch, steps in all) -> callbacks that run before the model is scored, and the first epoch,
            from 0, that may be kept.

    Raises:
        KerasBertError: the student has tokens that are not its teacher's.
    """
    started = time.time()
    readers = [student] if teacher is None else [student, teacher]
    positions = min(model.config.max_positions for model in readers)
    max_length = min(settings.max_length or task.max_length, positions)
    sources = [train_data, *([] if unlabelled is None else [unlabelled])]
    examples = [task.training_examples(student, data, max_length, options) for data in sources]
    schedule = task.schedule(train_data, len(getattr(student, "labels", ())))
    soft = teacher_ids = weights = in_epoch = None
    texts, targets = joined([part.texts for part in examples]), joined_targets([part.targets for part in examples])
    labelled, count = len(examples[0].texts), 0
    if teacher is None:
        losses = dataclasses.replace(losses, soft=0.0, hard=1.0, hidden=0.0, attention=0.0, relations=0.0)
    else:
        teacher_ids = ids_in(teacher.tokenizer, student.tokenizer)
        if losses.learn_from_teacher:
            count = _usual_copies(schedule, student, texts) if settings.copies is None else settings.copies
        copies = altered_copies(texts, student.tokenizer, count * settings.epochs, settings.seed)
        if losses.soft:
            asked = [in_ids(part, teacher_ids) for part in (texts, *copies)]
            if teacher_ids is not None and task.name not in PER_TOKEN:
                read = [task.training_examples(teacher, data, max_length, options).texts for data in sources]
                asked[0] = joined(read)
            soft = _soft_labels(teacher, joined(asked), logits_file)
        if len(texts) > labelled or copies:
            all_texts = len(texts) * (1 + len(copies))
            weights = np.repeat(np.array([1.0, 0.0], "float32"), [labelled, all_texts - labelled])
            in_epoch = functools.partial(with_copies, len(texts), count)
            texts, targets = joined([texts, *copies]), joined_targets([targets] * (1 + len(copies)))
    dataset = distillation_dataset(
        texts,
        targets,
        soft,
        student.config,
        batch_size=settings.batch_size,
        seed=settings.seed,
        segments=losses.reads_teacher and teacher.config.uses_segments,
        weights=weights,
        in_epoch=in_epoch,
    )
    learning_rate = settings.learning_rate or schedule.rate_at(student.config.hidden_size)
    steps_an_epoch = int(dataset.cardinality())
    steps = settings.epochs * steps_an_epoch
    distiller = Distiller(student, losses, teacher=teacher, teacher_ids=teacher_ids)
    distiller.set_adversarial(schedule.adversarial_in(steps) if settings.adversarial is None else settings.adversarial)
    distiller.compile(
        optimizer(
            learning_rate,
            steps=steps,
            warmup=settings.warmup,
            weight_decay=settings.weight_decay,
            average=settings.average,
        ),
        jit_compile=False,
    )
    added, first = callbacks(steps_an_epoch, steps) if callbacks else ([], 0)
    best = BestEpoch(lambda: evaluate(task, student, dev_data, max_length).scores, student, output, first)
    averaged = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if settings.average else []
    keep = [KeepZeros(student)] if not added else []
    progress = FitProgress(steps)
    with progress.shown():
        history = distiller.fit(
            dataset,
            epochs=settings.epochs,
            shuffle=False,
            verbose=0,
            callbacks=[*averaged, *keep, *added, best, progress],
        )
    return Trained(
        best.epoch, best.scores, history.history, time.time() - started, learning_rate, distiller.adversarial,
        count, [note for part in examples for note in part.notes],
    )  # fmt: skip


def evaluate(task: TaskAdapter, model: Any, data: Any, max_length: int | None = None) -> Evaluation:
    """The task's metrics of a model on labelled data."""
    predictions = task.predict(model, data, batch_size=64, max_length=max_length, on_item=lambda count: None)
    return task.evaluate(predictions, data, model)


class BestEpoch(keras.callbacks.Callback):
    """Scores the student after each epoch that counts and saves it whenever it is no worse than before.

    Attributes:
        epoch: number of the best epoch so far, from 1. scores: its metrics.
    """

    def __init__(self, score: Callable[[], dict[str, float]], student: Any, output: pathlib.Path, first: int) -> None:
        super().__init__()
        self.score, self.student, self.output, self.first = score, student, output, first
        self.epoch = 0
        self.scores: dict[str, float] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        found = self.score()
        for name, value in found.items():
            if logs is not None:
                logs[f"dev_{name}"] = value
        judged = next(iter(found))
        if epoch >= self.first and (not self.epoch or found[judged] >= self.scores[judged]):
            self.epoch, self.scores = epoch + 1, found
            self.student.save_pretrained(self.output)


def _usual_copies(schedule: Schedule, student: Any, texts: TokenizedTexts) -> int:
    """Those of the task's schedule; none where no token can hide a word, as copies do."""
    return schedule.copies_of(len(texts)) if student.tokenizer.role_token("mask") is not None else 0


def _soft_labels(teacher: Any, texts: TokenizedTexts, path: str | None) -> SoftLabels:
    def compute() -> SoftLabels:
        with progress_bar("asking the teacher", len(texts)) as advance:
            return teacher_logits(teacher, texts, on_batch=advance)

    return compute() if path is None else cached_logits(path, teacher, texts, compute)
