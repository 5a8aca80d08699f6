"""Models rebuilt smaller and dense: fewer heads, feed-forward units, layers, or rows of the token table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ..config import EncoderConfig
from ..errors import ConfigError
from .encoder import Encoder


def prune_structure(
    model: Any, *, heads: Sequence[np.ndarray] | None = None, units: Sequence[np.ndarray] | None = None
) -> Any:
    """A new model without the heads and feed-forward units that are not named; the others keep their weights.

    Every block keeps equally many heads; of units each may keep as many as it likes.

    Args:
        model: an `Encoder` or a task model.
        heads, units: for each block with weights of its own, the indices to keep; None keeps all.

    Raises:
        ConfigError: nothing is kept, an index is out of range, or blocks would differ in heads.
    """
    encoder = encoder_of(model)
    config = encoder.config
    changes: dict[str, Any] = {}
    if heads is not None:
        counts = _checked_counts("heads", heads, [config.num_heads] * config.num_blocks)
        if len(set(counts)) != 1:
            raise ConfigError(f"heads: expected equally many for each block, got {counts}")
        changes |= {"num_heads": counts[0], "head_size": config.attention_size // config.num_heads}
    if units is not None:
        changes["intermediate_sizes"] = _checked_counts("units", units, config.feedforward_sizes)
    rebuilt = _new_encoder(encoder, config.replace(**changes))
    _copy_around_blocks(encoder, rebuilt)
    for index, (old, new) in enumerate(zip(encoder.blocks, rebuilt.blocks, strict=True)):
        columns = np.arange(config.attention_size).reshape(config.num_heads, -1)
        if heads is not None:
            columns = columns[heads[index]]
        _copy_block(old, new, columns.reshape(-1), None if units is None else units[index])
    return with_encoder(model, rebuilt)


def keep_layers(model: Any, layers: Sequence[int]) -> Any:
    """A new model of the layers named, in that order; every weight of them bit for bit.

    Args:
        model: an `Encoder` or a task model.
        layers: indices, ascending, of the layers that a text passes. Where layers share weights (ALBERT), so do they.

    Raises:
        ConfigError: none, an index out of range or out of order, or a sharing that no configuration describes.
    """
    encoder = encoder_of(model)
    config, layers = encoder.config, list(layers)
    if not layers or layers != sorted(set(layers)) or not 0 <= layers[0] <= layers[-1] < config.num_layers:
        raise ConfigError(f"layers: expected ascending indices below {config.num_layers}, at least one, got {layers}")
    inner = config.layers_per_group
    group_of = [block // inner for block in config.block_schedule[::inner]]
    groups = sorted({group_of[layer] for layer in layers})
    changes: dict[str, Any] = {"num_layers": len(layers)}
    if config.num_layer_groups is not None:
        changes["num_layer_groups"] = len(groups)
    blocks = [group * inner + step for group in groups for step in range(inner)]
    changes["intermediate_sizes"] = [config.feedforward_sizes[block] for block in blocks]
    smaller = config.replace(**changes)
    wanted = [groups.index(group_of[layer]) * inner + step for layer in layers for step in range(inner)]
    if list(smaller.block_schedule) != wanted:
        raise ConfigError(
            f"layers {layers} of a model with {config.num_layer_groups} groups of shared layers: expected equally many"
            " of each group that is kept"
        )
    rebuilt = _new_encoder(encoder, smaller)
    _copy_around_blocks(encoder, rebuilt)
    for new, block in zip(rebuilt.blocks, blocks, strict=True):
        copy_weights(encoder.blocks[block], new)
    return with_encoder(model, rebuilt)


def restart_layers(model: Any, count: int) -> None:
    """Give the topmost `count` layers the random weights of an untrained model, in place: what they learned is of the
    task that the checkpoint was trained for (Zhang et al. 2021, "Revisiting Few-sample BERT Fine-tuning", section 4).

    Args:
        model: an `Encoder` or a task model.

    Raises:
        ConfigError: a negative number, all layers or more, or layers that share weights (ALBERT).
    """
    encoder = encoder_of(model)
    config = encoder.config
    if not 0 <= count < config.num_layers:
        raise ConfigError(f"restarted layers: expected 0 to {config.num_layers - 1}, got {count}")
    if not count:
        return
    if config.num_blocks < config.num_layers:
        raise ConfigError(f"restarted layers: those of the family {config.family} share their weights, got {count}")
    sizes = config.feedforward_sizes[-count:]
    changes = {"num_layers": count, "intermediate_sizes": sizes, "vocab_size": config.pad_token_id + 1}
    fresh = _new_encoder(encoder, config.replace(**changes))
    for new, old in zip(fresh.blocks, encoder.blocks[-count:], strict=True):
        copy_weights(new, old)


def as_distilbert(model: Any) -> Any:
    """A DistilBERT with the weights of a BERT: the same tables, layers and head, without segments and pooler.

    DistilBERT has no segment table. The row of the first segment, which BERT adds to every token of a single text, goes
    into the position table, so that a single text has the values that it had (transformers' `extract_distilbert.py`
    drops the row).

    Args:
        model: a `MaskedLanguageModel` or an `Encoder` of the family bert.

    Raises:
        ConfigError: another family.
    """
    encoder = encoder_of(model)
    config = encoder.config
    if config.family != "bert":
        raise ConfigError(f"a DistilBERT is made of a model of the family bert, got {config.family}")
    rebuilt = _new_encoder(
        encoder, config.replace(family="distilbert", num_segments=0, pooler=False, classifier_dropout=0.2)
    )
    _copy_around_blocks(encoder, rebuilt)
    if encoder.embeddings.segment_table is not None:
        positions = _array(encoder.embeddings.position_table) + _array(encoder.embeddings.segment_table)[0]
        rebuilt.embeddings.position_table.assign(positions)
    for old, new in zip(encoder.blocks, rebuilt.blocks, strict=True):
        copy_weights(old, new)
    return with_encoder(model, rebuilt)


def keep_tokens(model: Any, ids: np.ndarray, tokenizer: Any) -> Any:
    """A new model whose token table has the rows `ids`, in that order, and which reads with `tokenizer`.

    Args:
        model: an `Encoder` or a task model.
        ids: old ids int [new vocab_size], ascending; the padding token's among them.

    Raises:
        ConfigError: the padding token is not among them.
    """
    encoder = encoder_of(model)
    config = encoder.config
    pad = np.flatnonzero(ids == config.pad_token_id)
    if not len(pad):
        raise ConfigError(f"ids: expected the padding token {config.pad_token_id} among the {len(ids)} that stay")
    rebuilt = _new_encoder(encoder, config.replace(vocab_size=len(ids), pad_token_id=int(pad[0])))
    _copy_around_blocks(encoder, rebuilt, token_ids=ids)
    for old, new in zip(encoder.blocks, rebuilt.blocks, strict=True):
        copy_weights(old, new)
    return with_encoder(model, rebuilt, tokenizer=tokenizer, token_ids=ids)


def spread_layers(total: int, kept: int) -> list[int]:
    """`kept` of `total` layers, from the first to the last, evenly: 0, 2, 4, 7, 9, 11 for 6 of 12, which are those that
    DistilBERT was started from (transformers, `extract_distilbert.py`).

    Raises:
        ConfigError: more than there are, or none.
    """
    if not 1 <= kept <= total:
        raise ConfigError(f"layers: expected 1 to {total}, the model's, got {kept}")
    return [round(position) for position in np.linspace(0, total - 1, kept).tolist()]


def encoder_of(model: Any) -> Encoder:
    """The encoder of a task model, or the model itself."""
    return getattr(model, "encoder", model)


def with_encoder(model: Any, encoder: Encoder, *, tokenizer: Any = None, token_ids: np.ndarray | None = None) -> Any:
    """A model of the same task over another encoder of the same width, its heads copied; the encoder itself where
    `model` is one.

    Args:
        tokenizer: of the new model; None takes the old one's.
        token_ids: rows of a masked-language-model bias that stay; None for all.
    """
    if encoder_of(model) is model:
        return encoder
    rebuilt = type(model)(encoder, tokenizer=tokenizer or model.tokenizer, **model.head_config())
    for old, new in ((model.head, rebuilt.head), (model.sentence_head, rebuilt.sentence_head)):
        if old is not None:
            copy_weights(old, new, skip="bias" if hasattr(old, "bias") else None)
            if hasattr(old, "bias"):  # of the masked-language-model head: one value a token
                new.bias.assign(old.bias if token_ids is None else _array(old.bias)[token_ids])
    rebuilt.new_parts = model.new_parts
    return rebuilt


def copy_weights(old: Any, new: Any, skip: str | None = None) -> None:
    """Give a layer the weights of another of the same shape; one called `skip` that is the layer's own is left."""
    pairs = zip(_plain_weights(old), _plain_weights(new), strict=True)
    for source, target in pairs:
        if skip is None or source is not getattr(old, skip):
            target.assign(source)


def _new_encoder(encoder: Encoder, config: EncoderConfig) -> Encoder:
    return Encoder(config, dtype=encoder.embeddings.dtype_policy)


def _copy_around_blocks(old: Encoder, new: Encoder, token_ids: np.ndarray | None = None) -> None:
    tables, rebuilt = old.embeddings, new.embeddings
    rows = _array(tables.token_table)
    rebuilt.token_table.assign(rows if token_ids is None else rows[token_ids])
    rebuilt.position_table.assign(tables.position_table)
    if tables.segment_table is not None and rebuilt.segment_table is not None:
        rebuilt.segment_table.assign(tables.segment_table)
    copy_weights(tables.norm, rebuilt.norm)
    if tables.projection is not None:
        copy_weights(tables.projection, rebuilt.projection)
    if old.pooler is not None and new.pooler is not None:
        copy_weights(old.pooler, new.pooler)


def _copy_block(old: Any, new: Any, columns: np.ndarray, units: np.ndarray | None) -> None:
    """Copy a block: of the attention's width the `columns`, of the feed-forward's the `units`."""
    for name in ("query", "key", "value"):
        _copy_dense(getattr(old.attention, name), getattr(new.attention, name), columns=columns)
    _copy_dense(old.attention.out, new.attention.out, rows=columns)
    _copy_dense(old.feedforward_in, new.feedforward_in, columns=units)
    _copy_dense(old.feedforward_out, new.feedforward_out, rows=units)
    for name in ("attention_norm", "output_norm"):
        copy_weights(getattr(old, name), getattr(new, name))


def _copy_dense(
    old: keras.layers.Dense,
    new: keras.layers.Dense,
    *,
    rows: np.ndarray | None = None,
    columns: np.ndarray | None = None,
) -> None:
    kernel, bias = _array(old.kernel), _array(old.bias)
    if rows is not None:
        kernel = kernel[rows]
    if columns is not None:
        kernel, bias = kernel[:, columns], bias[columns]
    new.kernel.assign(kernel)
    new.bias.assign(bias)


def _checked_counts(name: str, chosen: Sequence[np.ndarray], available: Sequence[int]) -> list[int]:
    """How many each block keeps, of as many as it has."""
    if len(chosen) != len(available):
        raise ConfigError(f"{name}: expected indices for each of {len(available)} blocks, got {len(chosen)}")
    for indices, bound in zip(chosen, available, strict=True):
        distinct = set(np.asarray(indices).tolist())
        if not distinct or len(distinct) != len(indices) or min(distinct) < 0 or max(distinct) >= bound:
            raise ConfigError(f"{name}: expected 1 to {bound} distinct indices below {bound} for each block")
    return [len(indices) for indices in chosen]


def _plain_weights(layer: Any) -> list[keras.Variable]:
    return [weight for weight in layer.weights if "seed_generator" not in weight.path]


def _array(variable: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable.value)
