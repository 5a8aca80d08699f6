"""The encoder shapes that the edge benchmarks run, and random weights for them.

Latency does not depend on the values of the weights, so every peer is built from random ones; they are normal with
deviation 0.02, as BERT starts, so that no activation overflows or becomes denormal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Shape:
    """The sizes of one BERT encoder with a classification head."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int
    max_positions: int = 512
    num_segments: int = 2
    num_labels: int = 2
    layer_norm_epsilon: float = 1e-12

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_heads


SHAPES = {
    "minilm_l6": Shape(vocab_size=30522, hidden_size=384, num_layers=6, num_heads=12, intermediate_size=1536),
    "bert_base": Shape(vocab_size=30522, hidden_size=768, num_layers=12, num_heads=12, intermediate_size=3072),
}


def random_weights(shape: Shape, seed: int = 0) -> dict[str, np.ndarray]:
    """Return float32 weights by name; dense kernels are [in, out] and named `*.kernel`, with a `*.bias` beside each.

    Names: `word`, `position`, `segment` (tables), `embeddings.norm.{gamma,beta}`; for each layer i
    `i.{query,key,value,out,feedforward_in,feedforward_out}` and `i.{attention_norm,output_norm}`; `pooler`,
    `classifier`.
    """
    generator = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {}

    def normal(*size: int) -> np.ndarray:
        return generator.normal(0.0, 0.02, size).astype(np.float32)

    def dense(name: str, inputs: int, outputs: int) -> None:
        weights[f"{name}.kernel"], weights[f"{name}.bias"] = normal(inputs, outputs), normal(outputs)

    def norm(name: str) -> None:
        weights[f"{name}.gamma"], weights[f"{name}.beta"] = 1 + normal(shape.hidden_size), normal(shape.hidden_size)

    hidden, wide = shape.hidden_size, shape.intermediate_size
    weights["word"] = normal(shape.vocab_size, hidden)
    weights["position"] = normal(shape.max_positions, hidden)
    weights["segment"] = normal(shape.num_segments, hidden)
    norm("embeddings.norm")
    for layer in range(shape.num_layers):
        for name in ("query", "key", "value", "out"):
            dense(f"{layer}.{name}", hidden, hidden)
        norm(f"{layer}.attention_norm")
        dense(f"{layer}.feedforward_in", hidden, wide)
        dense(f"{layer}.feedforward_out", wide, hidden)
        norm(f"{layer}.output_norm")
    dense("pooler", hidden, hidden)
    dense("classifier", hidden, shape.num_labels)
    return weights
