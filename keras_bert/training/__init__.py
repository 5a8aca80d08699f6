"""Optimizers, schedules and losses."""

from .class_losses import SmoothedCrossEntropy, balanced_class_weights
from .fine_tuning import LayerwiseAdamW, fine_tuning_optimizer, layer_rates
from .schedules import WarmupLinearDecay, adamw
from .sentence_losses import CosineSimilarityLoss, MultipleNegativesRankingLoss

__all__ = [
    "CosineSimilarityLoss",
    "LayerwiseAdamW",
    "MultipleNegativesRankingLoss",
    "SmoothedCrossEntropy",
    "WarmupLinearDecay",
    "adamw",
    "balanced_class_weights",
    "fine_tuning_optimizer",
    "layer_rates",
]
