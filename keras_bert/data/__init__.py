"""Data files to batches."""

from .batches import batch_indices, batched_dataset, tokenize
from .classification import LabelledTexts, classification, read_labelled_texts, split_labelled_texts
from .predict import predict_logits, probabilities
from .tables import Columns, TextRow, read_rows

__all__ = [
    "Columns",
    "LabelledTexts",
    "TextRow",
    "batch_indices",
    "batched_dataset",
    "classification",
    "predict_logits",
    "probabilities",
    "read_labelled_texts",
    "read_rows",
    "split_labelled_texts",
    "tokenize",
]
