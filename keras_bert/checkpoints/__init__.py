"""Checkpoints of other libraries, read and written."""

from .keras_hub import from_keras_hub, to_keras_hub
from .load import left_out, load_encoder, load_task, load_tokenizer, open_checkpoint, stored_task
from .save import save

__all__ = [
    "from_keras_hub",
    "left_out",
    "load_encoder",
    "load_task",
    "load_tokenizer",
    "open_checkpoint",
    "save",
    "stored_task",
    "to_keras_hub",
]
