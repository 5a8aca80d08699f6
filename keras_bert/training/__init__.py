"""Optimizers, schedules and losses; the pretraining loop is in `keras_bert.training.loop`."""

from .class_losses import SmoothedCrossEntropy, balanced_class_weights
from .fine_tuning import LayerwiseAdamW, fine_tuning_optimizer, layer_rates
from .optimizers import LAMB, AdamW
from .schedules import WarmupLinearDecay, WarmupPolynomialDecay, adamw
from .sentence_losses import CosineSimilarityLoss, MultipleNegativesRankingLoss

__all__ = [
    "LAMB",
    "AdamW",
    "CosineSimilarityLoss",
    "LayerwiseAdamW",
    "MultipleNegativesRankingLoss",
    "SmoothedCrossEntropy",
    "WarmupLinearDecay",
    "WarmupPolynomialDecay",
    "adamw",
    "balanced_class_weights",
    "fine_tuning_optimizer",
    "layer_rates",
]
