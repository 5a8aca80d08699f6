"""Optimizers and schedules; the pretraining loop is in `keras_bert.training.loop`."""

from .optimizers import LAMB, AdamW
from .schedules import WarmupLinearDecay, WarmupPolynomialDecay, adamw

__all__ = ["LAMB", "AdamW", "WarmupLinearDecay", "WarmupPolynomialDecay", "adamw"]
