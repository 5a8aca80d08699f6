"""Checkpoints of other libraries, read and written."""

from .load import load_encoder, load_task, open_checkpoint
from .save import save

__all__ = ["load_encoder", "load_task", "open_checkpoint", "save"]
