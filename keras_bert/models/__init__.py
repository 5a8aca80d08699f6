"""Encoder and task models."""

from .classification import QuestionAnswerer, SequenceClassifier, TokenClassifier
from .documents import DocumentClassifier
from .encoder import Encoder
from .families import FAMILIES, get_family
from .language import MaskedLanguageModel, PretrainingModel, SentenceEncoder
from .pretraining import PretrainingNetwork, pretraining_network
from .task import Task

TASKS = {
    task.task: task
    for task in (
        SequenceClassifier,
        TokenClassifier,
        QuestionAnswerer,
        MaskedLanguageModel,
        PretrainingModel,
        SentenceEncoder,
    )
}

__all__ = [
    "FAMILIES",
    "TASKS",
    "DocumentClassifier",
    "Encoder",
    "MaskedLanguageModel",
    "PretrainingModel",
    "PretrainingNetwork",
    "QuestionAnswerer",
    "SentenceEncoder",
    "SequenceClassifier",
    "Task",
    "TokenClassifier",
    "get_family",
    "pretraining_network",
]
