"""The foldings of one matrix into another that the inference graph is spared.

What is folded, all of it exact in real arithmetic:
- `1 / sqrt(head size)` into the query weights;
- the scale and shift of a LayerNorm into the matrices that read its output (`W (g*n + b) = (W g) n + W b`), so that
  they read the bare normalised values, whose channels are more alike (Outlier Suppression, Wei et al. 2022, "gamma
  migration"), and the shift into the bias that the residual is added to; the graph is left with one multiplication;
- the shift of the value projection into the output projection: attention weights sum to 1.
A matrix that several layers share is folded only where every use of it agrees (ALBERT: not the block's input).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from .weights import Block, Linear, Norm, Weights


def folded(block: Block, num_heads: int, input_norm: Norm | None) -> Block:
    """`block` with the foldings done; `input_norm` is the LayerNorm before it, None where that is not always one."""
    query, key, value = block.query, block.key, block.value
    if input_norm is not None:
        query, key, value = (read_normalized(linear, input_norm) for linear in (query, key, value))
    scale = np.float32(1 / math.sqrt(len(query.bias) // num_heads))
    query = dataclasses.replace(query, matrix=query.matrix * scale, bias=query.bias * scale)
    out = dataclasses.replace(block.out, bias=block.out.bias + block.out.matrix @ value.bias)
    value = dataclasses.replace(value, bias=np.zeros_like(value.bias))
    if input_norm is not None:
        out = dataclasses.replace(out, bias=out.bias + input_norm.shift)
    feedforward_out = block.feedforward_out
    return dataclasses.replace(
        block,
        query=query,
        key=key,
        value=value,
        out=out,
        feedforward_in=read_normalized(block.feedforward_in, block.attention_norm),
        feedforward_out=dataclasses.replace(feedforward_out, bias=feedforward_out.bias + block.attention_norm.shift),
        reads_normalized=input_norm is not None,
    )


def read_normalized(linear: Linear, norm: Norm) -> Linear:
    """`linear` for an input to which the scale and shift of `norm` have not been applied."""
    bias = linear.bias + linear.matrix @ norm.shift
    return dataclasses.replace(linear, matrix=linear.matrix * norm.scale, bias=bias)


def for_one_query(weights: Weights) -> Weights:
    """`weights` for a graph that reads the first row alone: the last block's one query goes to the keys' side.

    The scores of one query q against the keys `x W^T + b` are `(q W) x^T` and a constant, which softmax ignores, and
    the values' projection can wait until their weighted mean is taken: two products over all tokens less. The key
    matrix is then read transposed; a block that layers share stays as it is, so that no matrix is stored twice.
    """
    last = weights.schedule[-1]
    if weights.schedule.count(last) > 1:
        return weights
    key = weights.blocks[last].key
    key = dataclasses.replace(key, matrix=np.ascontiguousarray(key.matrix.T), bias=np.zeros(key.matrix.shape[1], "f4"))
    block = dataclasses.replace(weights.blocks[last], key=key, key_is_transposed=True)
    return dataclasses.replace(weights, blocks=(*weights.blocks[:last], block, *weights.blocks[last + 1 :]))
