"""The interface of a task adapter."""

from __future__ import annotations

import abc
import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from keras_bert.data.batches import TokenizedTexts, batched_dataset
from keras_bert.errors import DataError, KerasBertError
from keras_bert.models import TASKS
from keras_bert.training import SmoothedCrossEntropy, balanced_class_weights

MOST_SHOWN = 20  # faults of a file that are named
# In few steps a new head learns too little: with 48, and with the demo's 180, texts lose what they gain with 650.
ADVERSARIAL_STEPS = 300
# A teacher's labels of few texts say little more than their own labels do; with 5,437 sentences, copies say more.
FEW_TEXTS = 20_000


@dataclasses.dataclass(frozen=True)
class TrainingExamples:
    """Inputs and targets as `batched_dataset` takes them, and what a person should know about them."""

    texts: TokenizedTexts
    targets: Any
    notes: list[str]

    @property
    def truncated(self) -> int:
        """How many texts were cut."""
        return self.texts.truncated

    def num_batches(self, batch_size: int) -> int:
        """Batches of an epoch."""
        return -(-len(self.texts) // batch_size)

    def dataset(self, config: Any, *, batch_size: int, seed: int, first_epoch: int) -> Any:
        """Shuffled batches for `fit`; the first pass is the epoch `first_epoch`, from 0."""
        return batched_dataset(
            self.texts, self.targets, config, batch_size=batch_size, shuffle=True, seed=seed, first_epoch=first_epoch
        )


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Metrics by name, the first the one that a run is judged by; and tables for the report."""

    scores: dict[str, float]
    details: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How a task is fine-tuned where nothing else is asked for.

    Attributes:
        rate: peak of the learning rate for a network of width 768. Wider networks want smaller steps: BERT base is
            fine-tuned at 2e-5 to 5e-5, large at 1e-5 to 3e-5, tiny (width 128) at 1e-4 to 3e-4 (google-research/bert,
            README).
        dropout: of hidden states and attention; None: as the checkpoint was trained.
        adversarial: how far embeddings move in adversarial training, as a share of their norm, where there are enough
            steps for it; 0: no such training.
        restarted: share of the layers, rounded down, that start anew below a new head, from the top.
        copies: altered copies of each training text that a teacher labels in every epoch, where texts are few.
    """

    epochs: int = 3
    rate: float = 2.5e-5
    dropout: float | None = None
    adversarial: float = 0.0
    restarted: float = 0.0
    copies: int = 0

    def rate_at(self, width: int) -> float:
        """The peak of the learning rate for a network of that width: falls with its square, up to ten times `rate`."""
        return self.rate * min((768 / width) ** 2, 10)

    def adversarial_in(self, steps: int) -> float:
        """`adversarial` of a training of so many steps: none in a short one, and none but on TensorFlow."""
        return self.adversarial if steps >= ADVERSARIAL_STEPS and keras.backend.backend() == "tensorflow" else 0.0

    def copies_of(self, texts: int) -> int:
        """`copies` in a training on so many texts."""
        return self.copies if texts <= FEW_TEXTS else 0


@dataclasses.dataclass(frozen=True)
class Answered:
    """The answer to one text: a line for people, a record for programs."""

    line: str
    record: dict[str, Any]


class TaskAdapter(abc.ABC):
    """One task: its files, its model, its predictions and its metrics.

    Data are whatever `read` returns; they have a length, a `path` and a `subset`. Predictions are whatever `predict`
    returns.

    Attributes:
        name: the task's name, as in exported files.
        reads_pairs: whether `answer` takes a second text: "never", "may" or "must".
        max_length: default of `--max-length`, in tokens.
        unit: what the data are made of.
        option_names: names of the options that `add_reading_options` adds.
    """

    name: ClassVar[str]
    reads_pairs: ClassVar[str]
    max_length: ClassVar[int]
    unit: ClassVar[str]
    option_names: ClassVar[tuple[str, ...]]

    @abc.abstractmethod
    def add_reading_options(self, group: Any) -> None:
        """Options of this task alone, each None or False unless given."""

    @abc.abstractmethod
    def read(self, path: str, options: argparse.Namespace) -> Any:
        """Read a file; faults that can be lived with are shown."""

    @abc.abstractmethod
    def split(self, data: Any, fraction: float, options: argparse.Namespace) -> tuple[Any, Any]:
        """Hold out about `fraction` of the examples, at least one; drawn from `options.seed`."""

    @abc.abstractmethod
    def model_arguments(self, train: Any, options: argparse.Namespace) -> dict[str, Any]:
        """Arguments of the model's class that the training data decide."""

    def add_training_options(self, group: Any) -> None:
        """Options of this task's training alone, each None or False unless given."""
        return

    def schedule(self, train: Any, num_labels: int) -> Schedule:
        """The defaults of some options of training, by what the training data hold and how many labels they have."""
        return Schedule()

    @property
    def model_class(self) -> Any:
        return TASKS[self.name]

    def model_class_of(self, path: pathlib.Path) -> Any:
        """The class that a saved model of this task is opened with."""
        return self.model_class

    def prepare(self, model: Any, options: argparse.Namespace) -> Any:
        """The model to train, from the one that the checkpoint gave."""
        return model

    def compile_arguments(self, model: Any, examples: TrainingExamples, options: argparse.Namespace) -> dict[str, Any]:
        """Arguments of `compile` beside the optimizer.

        Raises:
            KerasBertError: options of the loss that this task does not have.
        """
        refuse_class_options(self.name, options)
        return {}

    def open_trained(self, path: pathlib.Path) -> Any:
        """A model that can answer.

        Raises:
            KerasBertError: the checkpoint has no trained head.
        """
        model = self.model_class_of(path).from_pretrained(path)
        if model.new_parts:
            kind = {"sequence_classification": "classifier"}.get(self.name, f"model for {self.name}")
            raise KerasBertError(f"{path} is not a {kind}: it holds no {', '.join(model.new_parts)}")
        return model

    @abc.abstractmethod
    def check(self, data: Any, model_labels: Sequence[str], options: argparse.Namespace) -> None:
        """Raise DataError for what the model cannot be scored on."""

    @abc.abstractmethod
    def training_examples(
        self, model: Any, train: Any, max_length: int, options: argparse.Namespace
    ) -> TrainingExamples:
        """Model inputs and targets."""

    def unlabelled(self, path: str, model: Any, texts: Sequence[str], pairs: Sequence[str] | None) -> Any:
        """Texts of the file `path` as data like those of `read`; the labels are any, and not to be learned.

        Raises:
            KerasBertError: a task whose texts say nothing without labels.
        """
        raise KerasBertError(f"{self.name} learns from labelled texts alone")

    @abc.abstractmethod
    def predict(
        self, model: Any, data: Any, *, batch_size: int, max_length: int | None, on_item: Callable[[int], None]
    ) -> Any:
        """Predictions for all of `data`; `on_item` is called with how many are done since the last call."""

    @abc.abstractmethod
    def edge_predict(self, runner: Any, data: Any, on_item: Callable[[int], None]) -> Any:
        """The same by an opened `keras_bert_edge.Model`."""

    @abc.abstractmethod
    def evaluate(self, predictions: Any, data: Any, model: Any) -> Evaluation:
        """Metrics; `model` tells its labels, be it a Keras model or one of the edge."""

    def commonest(self, data: Any, options: argparse.Namespace) -> tuple[str, float] | None:
        """The commonest label of `data` and its share; None where an answer is not one label of a text."""
        return None

    def add_answering_options(self, group: Any) -> None:
        """Options of this task's answers alone, each None unless given."""
        return

    @abc.abstractmethod
    def answer(
        self, model: Any, texts: Sequence[str], pairs: Sequence[str] | None, options: argparse.Namespace
    ) -> list[Answered]:
        """Answers to texts that carry no labels, `options.batch_size` at a time."""


def refuse_class_options(task: str, options: argparse.Namespace) -> None:
    """Raise KerasBertError where options of a loss over classes are given to a task that has none."""
    for name in ("label_smoothing", "class_weights"):
        if getattr(options, name):
            raise KerasBertError(f"--{name.replace('_', '-')} is for classes of texts or words, not for {task}")


def class_loss(model: Any, target_ids: Any, options: argparse.Namespace) -> dict[str, Any]:
    """`loss` for `compile`, where `--label-smoothing` or `--class-weights` ask for another than the task's own.

    Args:
        target_ids: class ids of the training set, of any shape.

    Raises:
        KerasBertError: a weight that is no number, or of a class that the model does not have.
    """
    weights = None
    if options.class_weights == "balanced":
        weights = balanced_class_weights(target_ids, len(model.labels))
    elif options.class_weights:
        named = _named_weights(options.class_weights, model.labels)
        weights = [named.get(label, 1.0) for label in model.labels]
    if weights is None and not options.label_smoothing:
        return {}
    return {"loss": SmoothedCrossEntropy(options.label_smoothing, weights)}


def _named_weights(text: str, labels: Sequence[str]) -> dict[str, float]:
    named = {}
    for part in text.split(","):
        label, _, weight = part.rpartition("=")
        label = label.strip()
        if label not in labels:
            raise KerasBertError(f"--class-weights: no label {label!r}; the labels are {', '.join(labels[:8])}")
        try:
            named[label] = float(weight)
        except ValueError:
            raise KerasBertError(f"--class-weights: expected LABEL=WEIGHT, got {part!r}") from None
    return named


def split_by(groups: Sequence[Any], data: Any, fraction: float, seed: int) -> tuple[Any, Any]:
    """Hold out about `fraction` of the groups, at least one; examples with the same key stay together.

    Raises:
        DataError: there is only one group.
    """
    distinct = list(dict.fromkeys(groups))
    if len(distinct) < 2:
        raise DataError(f"{data.path} cannot be split in two, one to train and one to choose by: pass --dev")
    order = np.random.default_rng(seed).permutation(len(distinct))
    held = {distinct[i] for i in order[: max(1, round(len(distinct) * fraction))]}
    first = [i for i, group in enumerate(groups) if group not in held]
    second = [i for i, group in enumerate(groups) if group in held]
    return data.subset(first), data.subset(second)


def show_problems(path: str, problems: Sequence[str]) -> None:
    """Tell people what was wrong with a file: how often, and the first few by name."""
    if problems:
        print(f"{path}: {len(problems)} fault{'s' * (len(problems) > 1)}", file=sys.stderr)
        for message in problems[:MOST_SHOWN]:
            print(f"  {message}", file=sys.stderr)
        if len(problems) > MOST_SHOWN:
            print(f"  and {len(problems) - MOST_SHOWN} more; --strict stops at the first", file=sys.stderr)


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """For people: 6 digits after the point."""
    return {name: round(float(value), 6) for name, value in values.items()}
