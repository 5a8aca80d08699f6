"""The metadata of a .tflite file, for MediaPipe and other readers: what its tensors mean, which files it holds.

A FlatBuffer of its own by the schema `metadata_schema.fbs` (TensorFlow Lite Support, version 1.5), of which only what a
text model needs is written. The numbers below are that schema's field positions and enumeration values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import flatbuffers

MODEL_METADATA_NAME = "TFLITE_METADATA"
_FILE_IDENTIFIER = b"M001"
_MIN_PARSER_VERSION = "1.1.0"  # the first that knows BertTokenizerOptions

_TENSOR_AXIS_LABELS, _VOCABULARY = 2, 6  # AssociatedFileType
_FEATURE_PROPERTIES = 1  # ContentProperties
_BERT_TOKENIZER_OPTIONS = 4  # ProcessUnitOptions


@dataclasses.dataclass(frozen=True)
class TensorDescription:
    """One input or output. `labels_file`: name of the packed file with a label a line for its last axis."""

    name: str
    description: str
    labels_file: str | None = None


def write_metadata(
    name: str,
    description: str,
    inputs: Sequence[TensorDescription],
    outputs: Sequence[TensorDescription],
    vocab_file: str | None = None,
) -> bytes:
    """The metadata of a model with one subgraph's inputs and outputs, in their order there.

    Args:
        vocab_file: name of the packed WordPiece vocabulary; tells readers to tokenise as BERT does.
    """
    builder = flatbuffers.Builder(4096)
    subgraph_fields = {
        2: _vector(builder, [_tensor(builder, tensor) for tensor in inputs]),
        3: _vector(builder, [_tensor(builder, tensor) for tensor in outputs]),
    }
    if vocab_file is not None:
        vocabulary = _associated_file(builder, vocab_file, "Vocabulary of the BERT tokenizer.", _VOCABULARY)
        options = _table(builder, 1, {0: _vector(builder, [vocabulary])})
        unit = _union_table(builder, 2, 0, _BERT_TOKENIZER_OPTIONS, options)
        subgraph_fields[5] = _vector(builder, [unit])
    subgraph = _table(builder, 10, subgraph_fields)
    fields = {
        0: builder.CreateString(name),
        1: builder.CreateString(description),
        3: _vector(builder, [subgraph]),
        7: builder.CreateString(_MIN_PARSER_VERSION),
    }
    builder.Finish(_table(builder, 8, fields), file_identifier=_FILE_IDENTIFIER)
    return bytes(builder.Output())


def _tensor(builder: flatbuffers.Builder, tensor: TensorDescription) -> int:
    """TensorMetadata."""
    properties = _table(builder, 0, {})
    fields = {
        0: builder.CreateString(tensor.name),
        1: builder.CreateString(tensor.description),
        3: _union_table(builder, 3, 0, _FEATURE_PROPERTIES, properties),
    }
    if tensor.labels_file is not None:
        labels = _associated_file(builder, tensor.labels_file, "One label a line.", _TENSOR_AXIS_LABELS)
        fields[6] = _vector(builder, [labels])
    return _table(builder, 7, fields)


def _associated_file(builder: flatbuffers.Builder, name: str, description: str, kind: int) -> int:
    name_at, description_at = builder.CreateString(name), builder.CreateString(description)
    builder.StartObject(5)
    builder.PrependUOffsetTRelativeSlot(0, name_at, 0)
    builder.PrependUOffsetTRelativeSlot(1, description_at, 0)
    builder.PrependInt8Slot(2, kind, 0)
    return builder.EndObject()


def _table(builder: flatbuffers.Builder, num_fields: int, offsets: dict[int, int]) -> int:
    """A table whose present fields are all offsets."""
    builder.StartObject(num_fields)
    for field, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(field, offset, 0)
    return builder.EndObject()


def _union_table(builder: flatbuffers.Builder, num_fields: int, field: int, kind: int, value: int) -> int:
    """A table with one union: its kind at `field`, its value at the next."""
    builder.StartObject(num_fields)
    builder.PrependUint8Slot(field, kind, 0)
    builder.PrependUOffsetTRelativeSlot(field + 1, value, 0)
    return builder.EndObject()


def _vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
