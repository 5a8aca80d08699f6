"""The generated Python classes of the TFLite schema, from the runtime that also checks the result (extra `export`)."""

from __future__ import annotations

from keras_bert.errors import MissingExtraError

try:
    from ai_edge_litert import schema_py_generated as schema
except ImportError as error:
    raise MissingExtraError(
        "exporting needs ai-edge-litert: install the extra with pip install 'keras-bert-toolkit[export]'"
    ) from error

__all__ = ["schema"]
