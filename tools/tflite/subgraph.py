"""The tensors, constants and signature of one subgraph of a TFLite file, and how an operator is added to it.

Shapes are tuples of int; -1 stands for the one size that the caller sets at run time, the number of tokens.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .quantized import QuantizedMatrix
from .schema import schema

if TYPE_CHECKING:
    from .writer import ModelWriter

Shape = tuple[int, ...]
Matrix = np.ndarray | QuantizedMatrix

TENSOR_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int32": schema.TensorType.INT32,
    "int8": schema.TensorType.INT8,
    "int4": schema.TensorType.INT4,
    "bool": schema.TensorType.BOOL,
}


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of a subgraph: its index there, its shape (-1: the number of tokens) and its numpy dtype name."""

    index: int
    shape: Shape
    dtype: str


class Tensors:
    """The tables of one subgraph; `Subgraph` adds a method an operator."""

    def __init__(self, writer: ModelWriter, name: str, index: int) -> None:
        self._writer = writer
        self.table = schema.SubGraphT()
        self.table.name = name
        self.table.tensors, self.table.operators = [], []
        self.table.inputs, self.table.outputs = [], []
        self.signature = schema.SignatureDefT()
        self.signature.signatureKey, self.signature.subgraphIndex = name, index
        self.signature.inputs, self.signature.outputs = [], []
        self._constant_of: dict[tuple[Any, ...], Tensor] = {}

    def input(self, name: str, shape: Shape, dtype: str = "int32") -> Tensor:
        """An input of the signature."""
        tensor = self._tensor(name, shape, dtype)
        self.table.inputs.append(tensor.index)
        self.signature.inputs.append(_tensor_map(name, tensor))
        return tensor

    def output(self, name: str, tensor: Tensor) -> None:
        """Make `tensor` the signature's output `name`."""
        self.table.tensors[tensor.index].name = name
        self.table.outputs.append(tensor.index)
        self.signature.outputs.append(_tensor_map(name, tensor))

    def constant(
        self,
        value: Matrix,
        *,
        quantization: np.ndarray | None = None,
        details: Any = None,
        dtype: str | None = None,
        shape: Shape | None = None,
    ) -> Tensor:
        """A constant; the same value twice is one tensor.

        Args:
            value: a matrix of int8 with one scale a row keeps its values and scales.
            quantization: scales of the rows of another integer constant, float32.
            details: blockwise quantisation of the schema, whose tensor of scales is of this subgraph.
            dtype, shape: where they are not the array's: of packed numbers.
        """
        if isinstance(value, QuantizedMatrix):
            array, quantization = value.values, value.scales
        else:
            array = np.ascontiguousarray(value)
        dtype, shape = dtype or array.dtype.name, shape or array.shape
        scales = b"" if quantization is None else quantization.tobytes()
        key = (self._writer.buffer(array), shape, dtype, scales, details and (details.scales, details.blockSize))
        if key not in self._constant_of:
            tensor = self._tensor(f"constant_{len(self.table.tensors)}", shape, dtype, key[0])
            if quantization is not None:
                self.table.tensors[tensor.index].quantization = self._writer.quantization(quantization)
            elif details is not None:
                self.table.tensors[tensor.index].quantization = _blockwise(details)
            self._constant_of[key] = tensor
        return self._constant_of[key]

    def integers(self, values: Sequence[int]) -> Tensor:
        """A constant int32 vector: a shape, axes, bounds."""
        return self.constant(np.asarray(values, np.int32))

    def floats(self, values: Any) -> Tensor:
        """A constant float32 vector."""
        return self.constant(np.atleast_1d(np.asarray(values, np.float32)))

    def operator(
        self,
        name: str,
        inputs: Sequence[Tensor],
        shape: Shape,
        dtype: str,
        options: str | None = None,
        *,
        version: int = 1,
        **fields: Any,
    ) -> Tensor:
        """Add builtin operator `name`; `version` is the lowest with its argument types (versioning/op_version.cc)."""
        output = self._tensor(f"{name.lower()}_{len(self.table.tensors)}", shape, dtype)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._writer.operator_code(name, version)
        operator.inputs = [tensor.index for tensor in inputs]
        operator.outputs = [output.index]
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for field, value in fields.items():
                setattr(operator.builtinOptions, field, value)
        self.table.operators.append(operator)
        return output

    @property
    def newest_operators(self) -> bool:
        """Whether operators may be newer than tflite-runtime 2.14."""
        return self._writer.newest_operators

    def _once(self, key: tuple[Any, ...], make: Callable[[], Tensor]) -> Tensor:
        if key not in self._constant_of:
            self._constant_of[key] = make()
        return self._constant_of[key]

    def _tensor(self, name: str, shape: Shape, dtype: str, buffer: int = 0) -> Tensor:
        tensor = schema.TensorT()
        tensor.name, tensor.buffer, tensor.type = name, buffer, TENSOR_TYPES[dtype]
        tensor.shape = [1 if size < 0 else size for size in shape]
        tensor.hasRank = True
        if any(size < 0 for size in shape):
            tensor.shapeSignature = list(shape)
        self.table.tensors.append(tensor)
        return Tensor(len(self.table.tensors) - 1, tuple(shape), dtype)


def _tensor_map(name: str, tensor: Tensor) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor.index
    return entry


def _blockwise(details: Any) -> Any:
    parameters = schema.QuantizationParametersT()
    parameters.detailsType, parameters.details = schema.QuantizationDetails.BlockwiseQuantization, details
    parameters.quantizedDimension = 0
    return parameters
