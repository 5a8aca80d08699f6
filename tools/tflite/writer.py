"""A small writer of TFLite models: subgraphs, buffers, signatures and metadata into one FlatBuffer.

The inference graph is ours, two dozen builtin operators, so it is written as it shall run: nothing depends on what a
converter makes of it, weights are stored once however often and by however many signatures they are used, and int8
weights keep the values and scales they were given. Format: TFLite schema version 3 (tflite/schema/schema.fbs).
"""

from __future__ import annotations

import hashlib
import struct

import flatbuffers
import numpy as np

from .operators import Subgraph
from .schema import schema

_ALIGNMENT = 16  # bytes; kernels read weights in place, with vector loads
_MAX_BYTES = 2**31 - 1  # FlatBuffer offsets are signed 32-bit


class _PackedOnce:
    """What several tables refer to is written once a FlatBuffer, where the generated `Pack` would repeat it."""

    _packed: tuple[int, int] | None = None

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 (the name that the generated code calls)
        if self._packed is None or self._packed[0] != id(builder):
            self._packed = id(builder), self._pack(builder)
        return self._packed[1]

    def _pack(self, builder: flatbuffers.Builder) -> int:
        raise NotImplementedError


class _AlignedBuffer(_PackedOnce, schema.BufferT):
    """A buffer whose bytes begin on a 16-byte boundary, which the generated `Pack` does not see to."""

    def _pack(self, builder: flatbuffers.Builder) -> int:
        builder.StartVector(1, self.data.size, _ALIGNMENT)
        builder.head = builder.Head() - self.data.size
        builder.Bytes[builder.head : builder.head + self.data.size] = memoryview(self.data)
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


class _SharedQuantization(_PackedOnce, schema.QuantizationParametersT):
    """Scales that several graphs' tensors have in common."""

    def _pack(self, builder: flatbuffers.Builder) -> int:
        return schema.QuantizationParametersT.Pack(self, builder)


class ModelWriter:
    """Collects subgraphs, buffers and metadata; `to_bytes` writes the FlatBuffer.

    Args:
        newest_operators: False: only operators at versions that tflite-runtime 2.14 has.

    Attributes:
        model: the model that a reader of the file opens.
        second: another model over the same buffers, or None. A runtime prepares all graphs of the model it opens, and
            packs the weights for each; what is not always needed is therefore better a model of its own.
        second_root: after `to_bytes`, where `second`'s table lies: the first four bytes of a FlatBuffer that opens it.
    """

    def __init__(self, description: str, *, newest_operators: bool = True) -> None:
        self.newest_operators = newest_operators
        self._buffers = [schema.BufferT()]  # buffer 0 is "no data", by definition
        self._operator_codes: list[schema.OperatorCodeT] = []
        self.model = self._new_model(description)
        self.second: schema.ModelT | None = None
        self.second_root: int | None = None
        self._buffer_of: dict[bytes, int] = {}
        self._operator_code_of: dict[tuple[str, int], int] = {}
        self._quantization_of: dict[bytes, _SharedQuantization] = {}

    def _new_model(self, description: str) -> schema.ModelT:
        model = schema.ModelT()
        model.version, model.description = 3, description
        model.buffers, model.operatorCodes = self._buffers, self._operator_codes
        model.subgraphs, model.signatureDefs, model.metadata = [], [], []
        return model

    def subgraph(self, name: str) -> Subgraph:
        """A new, empty subgraph, which is also the signature `name`."""
        return self._add_subgraph(self.model, name)

    def subgraph_of_second(self, name: str) -> Subgraph:
        """The same in `second`."""
        if self.second is None:
            self.second = self._new_model(self.model.description)
        return self._add_subgraph(self.second, name)

    def _add_subgraph(self, model: schema.ModelT, name: str) -> Subgraph:
        subgraph = Subgraph(self, name, len(model.subgraphs))
        model.subgraphs.append(subgraph.table)
        model.signatureDefs.append(subgraph.signature)
        return subgraph

    def add_metadata(self, name: str, content: bytes) -> None:
        """Attach `content` under `name`, as the TFLite metadata format does."""
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, self.buffer(np.frombuffer(content, np.uint8))
        self.model.metadata.append(entry)

    def buffer(self, array: np.ndarray) -> int:
        """Index of the buffer that holds `array`'s bytes; equal bytes are stored once."""
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        digest = hashlib.blake2b(data.data, digest_size=20).digest()
        if digest not in self._buffer_of:
            self._buffer_of[digest] = len(self._buffers)
            buffer = _AlignedBuffer()
            buffer.data = data
            self._buffers.append(buffer)
        return self._buffer_of[digest]

    def quantization(self, scales: np.ndarray) -> schema.QuantizationParametersT:
        """Parameters of a symmetric int8 matrix with one scale a row, or one for all."""
        key = scales.tobytes()
        if key not in self._quantization_of:
            parameters = _SharedQuantization()
            parameters.scale, parameters.zeroPoint = scales, np.zeros(len(scales), np.int64)
            parameters.quantizedDimension = 0
            self._quantization_of[key] = parameters
        return self._quantization_of[key]

    def operator_code(self, name: str, version: int) -> int:
        """Index of builtin operator `name` at `version` in the model's table of operators."""
        key = (name, version)
        if key not in self._operator_code_of:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, name)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)  # read by runtimes older than the 128th operator
            code.version = version
            self._operator_code_of[key] = len(self._operator_codes)
            self._operator_codes.append(code)
        return self._operator_code_of[key]

    def to_bytes(self) -> bytes:
        """The model as a FlatBuffer.

        Raises:
            OverflowError: it would pass the 2 GiB that the format can address.
        """
        models = [self.model] if self.second is None else [self.model, self.second]
        graphs = [graph for model in models for graph in model.subgraphs]
        data = sum(buffer.data.size + 64 for buffer in self._buffers if buffer.data is not None)
        tables = 1024 * sum(len(graph.tensors) + len(graph.operators) for graph in graphs)
        scales = 12 * sum(len(parameters.scale) for parameters in self._quantization_of.values())
        size = data + tables + scales + 2**16
        if size > _MAX_BYTES:
            raise OverflowError(f"the model needs {size:,} bytes, a FlatBuffer holds at most {_MAX_BYTES:,}")
        # Given its final size at the start, the builder need not copy a large buffer to grow it.
        builder = flatbuffers.Builder(size)
        from_end = None if self.second is None else self.second.Pack(builder)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        content = bytes(builder.Output())
        self.second_root = None if from_end is None else len(content) - from_end
        return content


def with_root(content: bytes, root: int) -> bytes:
    """The FlatBuffer that opens the model whose table lies at `root` in `content`."""
    return struct.pack("<I", root) + content[4:]
