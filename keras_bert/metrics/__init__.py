"""Metrics as the benchmarks' official scripts compute them."""

from .classes import ClassScore, class_scores, confusion_matrix, micro_f1, one_hot, subset_accuracy
from .entities import EntityScore, EntityScores, EntitySpan, entity_scores, entity_spans
from .glue import accuracy, f1, macro_f1, matthews, pearson, spearman
from .squad import (
    SquadScores,
    SquadV2Scores,
    Threshold,
    best_thresholds,
    exact_match,
    normalize_answer,
    squad_scores,
    squad_v2_scores,
    token_f1,
)

__all__ = [
    "ClassScore",
    "EntityScore",
    "EntityScores",
    "EntitySpan",
    "SquadScores",
    "SquadV2Scores",
    "Threshold",
    "accuracy",
    "best_thresholds",
    "class_scores",
    "confusion_matrix",
    "entity_scores",
    "entity_spans",
    "exact_match",
    "f1",
    "macro_f1",
    "matthews",
    "micro_f1",
    "normalize_answer",
    "one_hot",
    "pearson",
    "spearman",
    "squad_scores",
    "squad_v2_scores",
    "subset_accuracy",
    "token_f1",
]
