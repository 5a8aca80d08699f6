"""Metrics as the benchmarks' official scripts compute them."""

from .glue import accuracy, f1, macro_f1, matthews, pearson, spearman

__all__ = ["accuracy", "f1", "macro_f1", "matthews", "pearson", "spearman"]
