"""A BERT classifier as an ONNX graph, node for node what PyTorch's exporter writes for `BertForSequenceClassification`.

Writing the nodes here keeps PyTorch out of the benchmark and keeps the patterns those that the peers' graph optimisers
were made for: separate query, key and value products, Div by sqrt(head size), erf GELU in five nodes,
LayerNormalization.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .shapes import Shape

OPSET = 17
MASKED = float(np.finfo(np.float32).min)


class _GraphWriter:
    """Collects nodes and initialisers; every method returns the name of the tensor that it made."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._weights = weights
        self._known: set[str] = set()

    def node(self, operator: str, inputs: Sequence[str], **attributes: object) -> str:
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=f"/{name}", **attributes))
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        if name not in self._known:
            self._known.add(name)
            self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, name: str) -> str:
        return self.constant(name, self._weights[name])

    def integers(self, *values: int) -> str:
        return self.constant("integers_" + "_".join(map(str, values)), np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        return self.constant(f"scalar_{value!r}", np.array(value, np.float32))

    def dense(self, name: str, inputs: str) -> str:
        product = self.node("MatMul", [inputs, self.weight(f"{name}.kernel")])
        return self.node("Add", [self.weight(f"{name}.bias"), product])

    def gelu(self, inputs: str) -> str:
        erf = self.node("Erf", [self.node("Div", [inputs, self.scalar(math.sqrt(2.0))])])
        return self.node(
            "Mul",
            [self.node("Mul", [inputs, self.node("Add", [erf, self.scalar(1.0)])]), self.scalar(0.5)],
        )


def build_classifier(shape: Shape, weights: dict[str, np.ndarray], with_mask: bool) -> onnx.ModelProto:
    """Return the float32 model: int64 [batch, length] inputs, `logits` float32 [batch, labels]; both axes dynamic.

    Inputs are `input_ids`, `token_type_ids` and, `with_mask`, `attention_mask`. Without the mask the graph serves one
    unpadded text, which is the quickest form for batch 1.
    """
    graph = _GraphWriter(weights)

    def norm(name: str, inputs: str) -> str:
        scale, shift = graph.weight(f"{name}.gamma"), graph.weight(f"{name}.beta")
        return graph.node("LayerNormalization", [inputs, scale, shift], axis=-1, epsilon=shape.layer_norm_epsilon)

    length = graph.node("Gather", [graph.node("Shape", ["input_ids"]), graph.constant("one", np.array(1))], axis=0)
    limit = graph.node("Unsqueeze", [length, graph.integers(0)])
    positions = graph.constant("position_ids", np.arange(shape.max_positions, dtype=np.int64)[None])
    positions = graph.node("Slice", [positions, graph.integers(0), limit, graph.integers(1)])
    words = graph.node("Gather", [graph.weight("word"), "input_ids"], axis=0)
    segments = graph.node("Gather", [graph.weight("segment"), "token_type_ids"], axis=0)
    summed = graph.node("Add", [words, segments])
    summed = graph.node("Add", [summed, graph.node("Gather", [graph.weight("position"), positions], axis=0)])
    hidden = norm("embeddings.norm", summed)

    additive_mask = None
    if with_mask:
        mask = graph.node("Unsqueeze", ["attention_mask", graph.integers(1)])
        mask = graph.node("Unsqueeze", [mask, graph.integers(2)])
        mask = graph.node("Cast", [mask], to=TensorProto.FLOAT)
        inverted = graph.node("Sub", [graph.scalar(1.0), mask])
        additive_mask = graph.node("Mul", [inverted, graph.scalar(MASKED)])

    for layer in range(shape.num_layers):
        split = graph.integers(0, 0, shape.num_heads, shape.head_size)

        def heads(name: str, inputs: str, order: list[int], split: str = split) -> str:
            return graph.node("Transpose", [graph.node("Reshape", [graph.dense(name, inputs), split])], perm=order)

        query = heads(f"{layer}.query", hidden, [0, 2, 1, 3])
        key = heads(f"{layer}.key", hidden, [0, 2, 3, 1])
        value = heads(f"{layer}.value", hidden, [0, 2, 1, 3])
        scores = graph.node("MatMul", [query, key])
        scores = graph.node("Div", [scores, graph.scalar(math.sqrt(shape.head_size))])
        if additive_mask is not None:
            scores = graph.node("Add", [scores, additive_mask])
        context = graph.node("MatMul", [graph.node("Softmax", [scores], axis=-1), value])
        context = graph.node("Transpose", [context], perm=[0, 2, 1, 3])
        context = graph.node("Reshape", [context, graph.integers(0, 0, shape.hidden_size)])
        attended = graph.node("Add", [graph.dense(f"{layer}.out", context), hidden])
        attended = norm(f"{layer}.attention_norm", attended)
        widened = graph.gelu(graph.dense(f"{layer}.feedforward_in", attended))
        narrowed = graph.node("Add", [graph.dense(f"{layer}.feedforward_out", widened), attended])
        hidden = norm(f"{layer}.output_norm", narrowed)

    first = graph.node("Gather", [hidden, graph.constant("zero", np.array(0))], axis=1)
    pooled = graph.node(
        "Tanh", [graph.node("Gemm", [first, graph.weight("pooler.kernel"), graph.weight("pooler.bias")])]
    )
    logits = graph.node("Gemm", [pooled, graph.weight("classifier.kernel"), graph.weight("classifier.bias")])
    graph.nodes[-1].output[0] = "logits"
    del logits

    names = ["input_ids", *(["attention_mask"] if with_mask else []), "token_type_ids"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in names]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", shape.num_labels])]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "bert", inputs, outputs, graph.initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model
