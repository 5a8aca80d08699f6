"""Losses that teach a small model by a large one, on `keras.ops` alone, each a float32 scalar.

`weights`, float or int [rows...], says which rows count: a mean is taken over the rows, each as often as its weight.
"""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from ..errors import ConfigError

_HIDDEN = -1e9  # added to scores of padding, as in attention


def weighted_mean(values: Any, weights: Any = None) -> Any:
    """Mean of `values` [rows...] over rows with `weights`, plain with None; 0 where all weights are 0."""
    values = ops.cast(values, "float32")
    if weights is None:
        return ops.mean(values)
    weights = ops.cast(weights, "float32")
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1e-9)


def soft_label_loss(teacher_logits: Any, student_logits: Any, temperature: float = 1.0, weights: Any = None) -> Any:
    """`T^2 KL(softmax(teacher / T) || softmax(student / T))` (Hinton et al. 2015, section 2).

    The factor keeps the size of the gradients when the temperature changes.

    Args:
        teacher_logits, student_logits: [rows..., classes].
    """
    if temperature <= 0:
        raise ConfigError(f"temperature: expected a number above 0, got {temperature}")
    teacher = ops.log_softmax(ops.cast(teacher_logits, "float32") / temperature, axis=-1)
    student = ops.log_softmax(ops.cast(student_logits, "float32") / temperature, axis=-1)
    divergence = ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
    return temperature**2 * weighted_mean(divergence, weights)


def cosine_loss(teacher_hidden: Any, student_hidden: Any, weights: Any = None) -> Any:
    """`1 - cos(teacher, student)` of each row (DistilBERT paper, section 3; its code, `loss_cos`).

    Args:
        teacher_hidden, student_hidden: [rows..., width].
    """
    teacher, student = (ops.cast(x, "float32") for x in (teacher_hidden, student_hidden))
    product = ops.sum(teacher * student, axis=-1)
    lengths = ops.sqrt(ops.sum(ops.square(teacher), axis=-1) * ops.sum(ops.square(student), axis=-1))
    return weighted_mean(1 - product / ops.maximum(lengths, 1e-12), weights)


def hidden_loss(teacher_hidden: Any, student_hidden: Any, weights: Any = None) -> Any:
    """Mean squared difference of hidden states (TinyBERT paper, equations 8 and 9).

    Args:
        teacher_hidden, student_hidden: [rows..., width], the student's through a projection where widths differ.
    """
    difference = ops.cast(teacher_hidden, "float32") - ops.cast(student_hidden, "float32")
    return weighted_mean(ops.mean(ops.square(difference), axis=-1), weights)


def attention_scores(query: Any, key: Any, num_heads: int) -> Any:
    """`q k^T / sqrt(head size)` of each head, [batch, heads, length, length].

    Args:
        query, key: [batch, length, width], heads side by side; any number of heads that divides the width.
    """
    query, key = (_split_heads(x, num_heads) for x in (query, key))
    return ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / math.sqrt(query.shape[-1])


def attention_loss(teacher_scores: Any, student_scores: Any, padding_mask: Any) -> Any:
    """Mean squared difference of attention scores before softmax (TinyBERT paper, equation 7), over pairs of tokens.

    Args:
        teacher_scores, student_scores: [batch, heads, length, length], equally many heads.
        padding_mask: [batch, length], 1 for tokens.
    """
    mask = ops.cast(padding_mask, "float32")
    pairs = ops.expand_dims(mask, 1) * ops.expand_dims(mask, 2)
    squares = ops.square(ops.cast(teacher_scores, "float32") - ops.cast(student_scores, "float32"))
    return weighted_mean(ops.mean(squares, axis=1), pairs)


def relation_loss(teacher: Any, student: Any, num_heads: int, padding_mask: Any) -> Any:
    """MiniLMv2's loss of one relation (Wang et al. 2021, equations 2 to 4): KL between softmax(a a^T / sqrt(d)) of
    teacher and student, over relation heads and tokens. Widths may differ: only their products are compared.

    Args:
        teacher, student: queries, keys or values [batch, length, width].
        num_heads: relation heads that both widths are cut into.
        padding_mask: [batch, length], 1 for tokens.
    """
    mask = ops.cast(padding_mask, "float32")
    hidden = ops.expand_dims(ops.expand_dims((1 - mask) * _HIDDEN, 1), 1)
    own, other = (
        ops.log_softmax(attention_scores(x, x, num_heads) + hidden, axis=-1)
        for x in (ops.cast(teacher, "float32"), ops.cast(student, "float32"))
    )
    divergence = ops.sum(ops.exp(own) * (own - other), axis=-1)
    return weighted_mean(ops.mean(divergence, axis=1), mask)


def _split_heads(x: Any, num_heads: int) -> Any:
    width = x.shape[-1]
    if width % num_heads:
        raise ConfigError(f"{num_heads} relation heads do not divide a width of {width}")
    shape = ops.shape(x)
    return ops.transpose(ops.reshape(x, (shape[0], shape[1], num_heads, width // num_heads)), (0, 2, 1, 3))
