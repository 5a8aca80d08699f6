"""Encoder and task models."""

from .classification import QuestionAnswerer, SequenceClassifier, TokenClassifier
from .documents import DocumentClassifier
from .encoder import Encoder
from .families import FAMILIES, get_family
from .language import MaskedLanguageModel, PretrainingModel, SentenceEncoder
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
    "QuestionAnswerer",
    "SentenceEncoder",
    "SequenceClassifier",
    "Task",
    "TokenClassifier",
    "get_family",
]
