"""Errors a user can cause, and so can mend. Commands print their message without a traceback."""

from __future__ import annotations


class KerasBertError(ValueError):
    """Base class: the message names the thing, what was expected and what came."""


class ConfigError(KerasBertError):
    """A configuration whose values do not fit together, or of an unknown architecture."""


class CheckpointError(KerasBertError):
    """A checkpoint with missing, left-over, misshapen or unreadable parts."""


class TokenizerError(KerasBertError):
    """Tokenizer files that are missing, broken, or disagree with the model; or input that cannot be tokenised."""


class DataError(KerasBertError):
    """A data file with a missing column, a bad row or an unknown label; the message names file and line."""


class InputError(KerasBertError):
    """Model inputs out of range: ids outside the vocabulary, positions beyond the table, NaN."""


class TrainingError(KerasBertError):
    """A training run that cannot go on: a loss that is not finite, a worker that is missing, another run's folder."""


class ExportError(KerasBertError):
    """A conversion that failed, or whose result is not the model it was made from."""


class MissingExtraError(KerasBertError):
    """An optional dependency is not installed; the message names the extra that holds it."""
