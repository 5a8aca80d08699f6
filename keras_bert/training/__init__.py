"""Optimizers and schedules."""

from .schedules import WarmupLinearDecay, adamw

__all__ = ["WarmupLinearDecay", "adamw"]
