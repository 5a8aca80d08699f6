"""BERT, DistilBERT, RoBERTa and ALBERT for Keras 3, from checkpoint to phone."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name -> module. Loaded on first use: a tokenizer alone must not cost the import of TensorFlow.
_PUBLIC = {
    "PRESETS": "config",
    "DocumentClassifier": "models",
    "Encoder": "models",
    "EncoderConfig": "config",
    "KerasBertError": "errors",
    "MaskedLanguageModel": "models",
    "PretrainingModel": "models",
    "QuestionAnswerer": "models",
    "SentenceEncoder": "models",
    "SequenceClassifier": "models",
    "TokenClassifier": "models",
    "Tokenizer": "tokenizers",
    "adamw": "training",
    "fine_tuning_optimizer": "training",
    "hold_memory": "memory",
}
_MODULES = ("data", "layers", "metrics", "models", "prediction", "training")

__all__ = [*_PUBLIC, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
