"""Metrics as the benchmarks' official scripts compute them."""

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
    "EntityScore",
    "EntityScores",
    "EntitySpan",
    "SquadScores",
    "SquadV2Scores",
    "Threshold",
    "accuracy",
    "best_thresholds",
    "entity_scores",
    "entity_spans",
    "exact_match",
    "f1",
    "macro_f1",
    "matthews",
    "normalize_answer",
    "pearson",
    "spearman",
    "squad_scores",
    "squad_v2_scores",
    "token_f1",
]
