"""The flat inference graph: one for all families and tasks, built from `Weights` into a TFLite subgraph.

Activations are `[tokens, hidden_size]` of one text at its exact length, so that each dense layer is one FULLY_CONNECTED
with no shape arithmetic around it and nothing is spent on padding. A classifier's last block computes the one row that
is read. With `length` given the graph is static and takes a `padding_mask`. `batch_graph` has it for several texts.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from .operators import Subgraph
from .products import fully_connected, static_product
from .subgraph import Tensor
from .weights import Block, Linear, Norm, Weights

MASKED = 1e9  # subtracted from the scores of padding, as in training


@dataclasses.dataclass(frozen=True)
class InputNames:
    """What the graph's inputs are called in the signature."""

    token_ids: str = "token_ids"
    padding_mask: str = "padding_mask"
    segment_ids: str = "segment_ids"


@dataclasses.dataclass(frozen=True)
class Activation:
    """A LayerNorm's output, `values` being what matrices read that have `norm` folded in; with None, plain values."""

    values: Tensor
    norm: Norm | None = None


class FlatGraph:
    """Adds the graph of one task to a subgraph.

    Args:
        graph: the subgraph to fill.
        weights: see `Weights`; matrices float32, float16 or `QuantizedMatrix`, products with grids integer throughout.
        length: number of tokens of a static graph, None for a length that the caller sets.
        names: names of the inputs.
        always_segments: declare `segment_ids` for models without segments too, and ignore it (MediaPipe).
    """

    def __init__(
        self,
        graph: Subgraph,
        weights: Weights,
        *,
        length: int | None = None,
        names: InputNames | None = None,
        always_segments: bool = False,
    ) -> None:
        self.graph, self.weights, self.config = graph, weights, weights.config
        self.length = -1 if length is None else length
        # What each matrix reads and gives, by name of the Linear, a pair a use: for calibration.
        self.products: dict[str, list[tuple[Tensor, Tensor]]] = {}
        names = names or InputNames()
        shape = (1, self.length)
        self.token_ids = graph.reshape(graph.input(names.token_ids, shape), (self.length,))
        self.padding_mask = None if length is None else graph.input(names.padding_mask, shape)
        self.segment_ids = None
        if self.config.uses_segments or always_segments:
            segment_ids = graph.input(names.segment_ids, shape)
            if self.config.uses_segments:
                self.segment_ids = graph.reshape(segment_ids, (self.length,))

    # === Tasks ===

    def sequence_logits(self) -> Tensor:
        """Logits `[1, num_labels]`."""
        head = self.weights.head
        x = self._linear(self.encode(first_row_only=True).values, head["dense"])
        x = self.graph.relu(x) if self.weights.head_activation == "relu" else self.graph.tanh(x)
        return self._linear(x, head["classifier"])

    def token_logits(self) -> Tensor:
        """Logits `[1, tokens, num_labels]`."""
        logits = self._linear(self.encode().values, self.weights.head["classifier"])
        return self.graph.reshape(logits, (1, *logits.shape))

    def span_logits(self) -> tuple[Tensor, Tensor]:
        """Start and end logits, `[1, tokens]` each."""
        logits = self.graph.transpose(self._linear(self.encode().values, self.weights.head["classifier"]), (1, 0))
        start, end = (self.graph.slice(logits, (row, 0), (1, self.length)) for row in (0, 1))
        return start, end

    def vocabulary_logits(self) -> Tensor:
        """Masked-language-model logits `[1, tokens, vocab_size]`; the decoder's matrix is the token table."""
        head, norm = self.weights.head, self.weights.decoder_norm
        assert norm is not None
        x = self._activate(self._linear(self.encode().values, head["dense"]))
        x = self._affine(self._normalize(x, norm))
        logits = self._linear(x, dataclasses.replace(head["decoder"], matrix=self.weights.token_table))
        return self.graph.reshape(logits, (1, *logits.shape))

    def embedding(self, pooling: str, normalize: bool) -> Tensor:
        """One vector `[1, hidden_size]`: the `mean` over the tokens or the first one (`cls`), scaled to length 1."""
        graph = self.graph
        x = self.encode(first_row_only=pooling == "cls")
        values = self._mean_of_tokens(x.values) if pooling == "mean" else x.values
        pooled = self._affine(Activation(values, x.norm))  # a mean of scaled and shifted rows is scaled and shifted
        if not normalize:
            return pooled
        squares = graph.maximum(graph.sum(graph.square(pooled), -1), graph.floats(1e-12))
        return graph.multiply(pooled, graph.rsqrt(squares))

    # === Encoder ===

    def encode(self, *, first_row_only: bool = False) -> Activation:
        """The last hidden states `[tokens, hidden_size]`, or those of the first token `[1, hidden_size]`."""
        x = self._embed()
        bias = self._attention_bias()
        schedule = self.weights.schedule
        for step, index in enumerate(schedule):
            last = step == len(schedule) - 1
            x = self._block(x, self.weights.blocks[index], bias, first_row_only=first_row_only and last)
        return x

    def _embed(self) -> Activation:
        graph, weights = self.graph, self.weights
        tokens = graph.lookup(self.token_ids, weights.token_table)
        x = graph.add(tokens, graph.lookup(self._position_ids(), weights.position_table))
        if self.segment_ids is not None and weights.segment_table is not None:
            x = graph.add(x, graph.lookup(self.segment_ids, weights.segment_table))
        normalized = self._normalize(x, weights.embedding_norm)
        if weights.projection is None:
            return normalized
        return Activation(self._linear(normalized.values, weights.projection))

    def _position_ids(self) -> Tensor:
        """Rows of the position table; RoBERTa counts the tokens that are not padding."""
        graph, offset = self.graph, self.config.position_offset
        if offset:
            real = graph.not_equal(self.token_ids, self.config.pad_token_id)
            return graph.add(graph.multiply(graph.cumulative_sum(real), real), graph.integers([offset - 1]))
        if self.length > 0:
            return graph.integers(range(self.length))
        # Counting ones keeps every shape known before the run; reading the length would not.
        ones = graph.not_equal(self.token_ids, -1)
        return graph.add(graph.cumulative_sum(ones), graph.integers([-1]))

    def _attention_bias(self) -> Tensor | None:
        """0 for text and a large negative number for padding, `[1, tokens]`, or None where nothing is padded."""
        if self.padding_mask is None:
            return None
        graph = self.graph
        mask = graph.cast(self.padding_mask, "float32")
        return graph.multiply(graph.subtract(mask, graph.floats(1)), graph.floats(MASKED))

    def _block(self, x: Activation, block: Block, bias: Tensor | None, *, first_row_only: bool) -> Activation:
        if not block.reads_normalized:
            x = Activation(self._affine(x))
        queries = self._first_row(x) if first_row_only else x
        if block.key_is_transposed:
            context = self._attend_once(queries.values, x.values, block, bias)
        else:
            context = self._attend(queries.values, x.values, block, bias)
        x = self._add_residual(self._linear(context, block.out), queries, block.attention_norm)
        hidden = self._activate(self._linear(x.values, block.feedforward_in))
        return self._add_residual(self._linear(hidden, block.feedforward_out), x, block.output_norm)

    def _attend(self, queries: Tensor, x: Tensor, block: Block, bias: Tensor | None) -> Tensor:
        """Multi-head attention of `queries` `[rows, hidden_size]` over `x` `[tokens, hidden_size]`.

        The result is `[rows, attention_size]`.
        """
        graph = self.graph
        q = self._heads(self._linear(queries, block.query))
        if not self.weights.folded:
            q = graph.multiply(q, graph.floats(1 / math.sqrt(q.shape[-1])))
        k, v = (self._heads(self._linear(x, linear)) for linear in (block.key, block.value))
        weights = self._attention_weights(graph.batch_matmul(q, k, transpose_b=True), bias)
        return self._merge_heads(graph.batch_matmul(weights, v), queries.shape[0])

    def _attend_once(self, query: Tensor, x: Tensor, block: Block, bias: Tensor | None) -> Tensor:
        """The same for one row, with a block `for_one_query`. Rows in between are heads, `[heads, attention_size]`."""
        graph = self.graph
        own = graph.constant(self._own_columns())
        q = graph.multiply(self._linear(query, block.query), own)
        scores = graph.batch_matmul(self._linear(q, block.key), x, transpose_b=True)
        mean = graph.batch_matmul(self._attention_weights(scores, bias), x)
        return graph.sum(graph.multiply(self._linear(mean, block.value), own), 0)

    def _own_columns(self) -> np.ndarray:
        """1 where a column of `[heads, attention_size]` belongs to the head of its row, else 0."""
        heads = self.config.num_heads
        return np.repeat(np.eye(heads, dtype=np.float32), self.config.attention_size // heads, axis=1)

    def _attention_weights(self, scores: Tensor, bias: Tensor | None) -> Tensor:
        return self.graph.softmax(scores if bias is None else self.graph.add(scores, bias))

    def _add_residual(self, update: Tensor, x: Activation, norm: Norm) -> Activation:
        """LayerNorm of `update + x`; the shift of `x` is already in the bias of the matrix that made `update`."""
        return self._normalize(self.graph.add(update, self._scaled(x)), norm)

    # === Parts ===

    def _linear(self, x: Tensor, linear: Linear) -> Tensor:
        if linear.grids is None:
            y = fully_connected(self.graph, x, linear.matrix, linear.bias)
        else:
            y = static_product(self.graph, x, linear.matrix, linear.bias, linear.grids)
        self.products.setdefault(linear.name, []).append((x, y))
        return y

    def _heads(self, x: Tensor) -> Tensor:
        """`[tokens, attention_size]` to `[heads, tokens, head size]`."""
        heads = self.config.num_heads
        split = self.graph.reshape(x, (x.shape[0], heads, x.shape[1] // heads))
        return self.graph.transpose(split, (1, 0, 2))

    def _merge_heads(self, x: Tensor, rows: int) -> Tensor:
        """`[heads, tokens, head size]` to `[rows, attention_size]`."""
        return self.graph.reshape(self.graph.transpose(x, (1, 0, 2)), (rows, self.config.attention_size))

    def _mean_of_tokens(self, x: Tensor) -> Tensor:
        """`[tokens, hidden_size]` to `[1, hidden_size]`."""
        graph = self.graph
        if self.padding_mask is None:
            return graph.mean(x, 0)
        mask = graph.reshape(graph.cast(self.padding_mask, "float32"), (self.length, 1))
        total = graph.sum(graph.multiply(x, mask), 0)
        return graph.divide(total, graph.maximum(graph.sum(mask, 0), graph.floats(1)))

    def _first_row(self, x: Activation) -> Activation:
        return Activation(self.graph.slice(x.values, (0, 0), (1, self.config.hidden_size)), x.norm)

    def _normalize(self, x: Tensor, norm: Norm) -> Activation:
        graph = self.graph
        centred = graph.subtract(x, graph.mean(x, -1))
        variance = graph.mean(graph.square(centred), -1)
        inverse = graph.rsqrt(graph.add(variance, graph.floats(norm.epsilon)))
        values = graph.multiply(centred, inverse)
        if norm.read_scale is not None:
            values = graph.multiply(values, graph.floats(norm.read_scale))
        activation = Activation(values, norm)
        return activation if self.weights.folded else Activation(self._affine(activation))

    def _scaled(self, x: Activation) -> Tensor:
        """`x` without the norm's shift."""
        if x.norm is None:
            return x.values
        scale = x.norm.scale if x.norm.read_scale is None else x.norm.scale / x.norm.read_scale
        return self.graph.multiply(x.values, self.graph.floats(scale))

    def _affine(self, x: Activation) -> Tensor:
        """`x` with the norm's scale and shift."""
        return self._scaled(x) if x.norm is None else self.graph.add(self._scaled(x), self.graph.floats(x.norm.shift))

    def _activate(self, x: Tensor) -> Tensor:
        if self.config.activation == "relu":
            return self.graph.relu(x)
        return self.graph.gelu(x, approximate=self.config.activation == "gelu_tanh")
