"""Data files to batches."""

from .batches import TokenTargets, batch_indices, batched_dataset, tokenize
from .classification import LabelledTexts, classification, read_labelled_texts, split_labelled_texts
from .conll import TaggedSentence, TaggedSentences, read_conll, read_tagged_sentences
from .documents import documents
from .predict import predict_logits, probabilities
from .questions import question_answering
from .sentence_pairs import SentencePairs, read_sentence_pairs, sentence_pairs
from .squad import GoldAnswer, Question, Questions, read_questions, read_squad
from .tables import Columns, TextRow, read_rows
from .tokens import token_classification

__all__ = [
    "Columns",
    "GoldAnswer",
    "LabelledTexts",
    "Question",
    "Questions",
    "SentencePairs",
    "TaggedSentence",
    "TaggedSentences",
    "TextRow",
    "TokenTargets",
    "batch_indices",
    "batched_dataset",
    "classification",
    "documents",
    "predict_logits",
    "probabilities",
    "question_answering",
    "read_conll",
    "read_labelled_texts",
    "read_questions",
    "read_rows",
    "read_sentence_pairs",
    "read_squad",
    "read_tagged_sentences",
    "sentence_pairs",
    "split_labelled_texts",
    "token_classification",
    "tokenize",
]
