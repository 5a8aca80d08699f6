"""Checkpoints of other libraries, read and written."""

from .load import load_encoder, load_task, load_tokenizer, open_checkpoint, stored_task
from .save import save

__all__ = ["load_encoder", "load_task", "load_tokenizer", "open_checkpoint", "save", "stored_task"]
