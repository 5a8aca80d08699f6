"""The inference graph of several short texts at once, for lists: the matrices read all their tokens together.

A matrix product is quickest over many rows (whole tiles of the kernel, weights read once, one call), which a short text
alone does not have. The texts are padded to the longest of them; attention stays within each text, so that it costs no
more than one by one, and no token sees padding. Held against one flat sequence with block-diagonal attention this was
as quick and gives each text an answer that does not depend on where in the sequence it stands.
"""

from __future__ import annotations

from .graph import MASKED, Activation, FlatGraph, InputNames
from .operators import Subgraph
from .subgraph import Tensor
from .weights import Block, Weights


class BatchGraph(FlatGraph):
    """`FlatGraph` over `batch_size` texts, inputs `[batch_size, tokens]` of a length that the caller sets.

    Outputs have `batch_size` rows. A text's activations are its `tokens` rows of `[batch_size * tokens, hidden_size]`.
    """

    def __init__(self, graph: Subgraph, weights: Weights, batch_size: int) -> None:
        self.graph, self.weights, self.config = graph, weights, weights.config
        self.batch_size, self.length = batch_size, -1
        self.products = {}
        names, shape = InputNames(), (batch_size, -1)
        self._ids = graph.input(names.token_ids, shape)
        self.token_ids = graph.reshape(self._ids, (-1,))
        self.padding_mask = graph.input(names.padding_mask, shape)
        self._mask = graph.cast(self.padding_mask, "float32")
        self.segment_ids = None
        if self.config.uses_segments:
            self.segment_ids = graph.reshape(graph.input(names.segment_ids, shape), (-1,))

    def _position_ids(self) -> Tensor:
        graph, offset = self.graph, self.config.position_offset
        real = graph.not_equal(self._ids, self.config.pad_token_id if offset else -1)
        positions = graph.cumulative_sum(real, axis=1)
        if offset:
            positions = graph.multiply(positions, real)
        return graph.reshape(graph.add(positions, graph.integers([offset - 1])), (-1,))

    def _attention_bias(self) -> Tensor:
        """As one flat graph's, `[batch_size, 1, 1, tokens]`."""
        graph = self.graph
        mask = graph.subtract(self._mask, graph.floats(1))
        return graph.reshape(graph.multiply(mask, graph.floats(MASKED)), (self.batch_size, 1, 1, -1))

    def _attend_once(self, query: Tensor, x: Tensor, block: Block, bias: Tensor | None) -> Tensor:
        """As one flat graph's, with the heads of all texts as the rows that the matrices read."""
        assert bias is not None
        graph, size, heads = self.graph, self.batch_size, self.config.num_heads
        own, width = graph.constant(self._own_columns()), self.config.attention_size
        q = graph.multiply(graph.reshape(self._linear(query, block.query), (size, 1, width)), own)
        keys = self._linear(graph.reshape(q, (size * heads, width)), block.key)
        texts = graph.reshape(x, (size, -1, x.shape[1]))
        scores = graph.batch_matmul(graph.reshape(keys, (size, heads, x.shape[1])), texts, transpose_b=True)
        mean = graph.batch_matmul(self._attention_weights(scores, graph.reshape(bias, (size, 1, -1))), texts)
        values = self._linear(graph.reshape(mean, (size * heads, x.shape[1])), block.value)
        context = graph.sum(graph.multiply(graph.reshape(values, (size, heads, width)), own), 1)
        return graph.reshape(context, (size, width))

    def _heads(self, x: Tensor) -> Tensor:
        """`[texts * tokens, attention_size]` to `[texts, heads, tokens, head size]`."""
        heads = self.config.num_heads
        split = self.graph.reshape(x, (self.batch_size, -1, heads, x.shape[1] // heads))
        return self.graph.transpose(split, (0, 2, 1, 3))

    def _merge_heads(self, x: Tensor, rows: int) -> Tensor:
        return self.graph.reshape(self.graph.transpose(x, (0, 2, 1, 3)), (rows, self.config.attention_size))

    def _first_row(self, x: Activation) -> Activation:
        graph, size, width = self.graph, self.batch_size, self.config.hidden_size
        texts = graph.reshape(x.values, (size, -1, width))
        first = graph.slice(texts, (0, 0, 0), (size, 1, width))
        return Activation(graph.reshape(first, (size, width)), x.norm)

    def _mean_of_tokens(self, x: Tensor) -> Tensor:
        graph, size, width = self.graph, self.batch_size, self.config.hidden_size
        mask = graph.reshape(self._mask, (size, -1, 1))
        total = graph.sum(graph.multiply(graph.reshape(x, (size, -1, width)), mask), 1)
        count = graph.maximum(graph.sum(mask, 1), graph.floats(1))
        return graph.reshape(graph.divide(total, count), (size, width))
