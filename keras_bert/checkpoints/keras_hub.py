"""KerasHub backbones <-> `Encoder`, by tables: Bert, DistilBert, Roberta and Albert (extra `keras-hub`)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from ..config import EncoderConfig
from ..errors import CheckpointError, ConfigError, MissingExtraError
from ..layers.initializers import about_to_load
from ..models import Encoder
from ..models.family import CheckpointNames
from .names import Dialect, Slot, encoder_slots

_DIALECT = Dialect(kernel="/kernel", bias="/bias", scale="/gamma", shift="/beta", transposed=False)

_BLOCK = {
    "self_attention_layer/query": "attention.query",
    "self_attention_layer/key": "attention.key",
    "self_attention_layer/value": "attention.value",
    "self_attention_layer/attention_output": "attention.out",
    "self_attention_layer_norm": "attention_norm",
    "feedforward_intermediate_dense": "feedforward_in",
    "feedforward_output_dense": "feedforward_out",
    "feedforward_layer_norm": "output_norm",
}

_ARGUMENTS = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_layers",
    "num_heads": "num_heads",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
    "dropout": "hidden_dropout",
    "max_sequence_length": "max_positions",
}
_ALBERT_ARGUMENTS = {
    "num_segments": "num_segments",
    "embedding_dim": "embedding_size",
    "num_groups": "num_layer_groups",
    "num_inner_repetitions": "layers_per_group",
}


@dataclasses.dataclass(frozen=True)
class _Layout:
    """How KerasHub builds a family.

    Attributes:
        backbone: name of its class. arguments: its argument -> `EncoderConfig` field.
        fixed: fields that its code fixes; an encoder that differs in one is another network.
        defaults: fields that it does not know and that our encoder then has.
        tables: path of the token and the position table. names: paths of all other weights.
    """

    backbone: str
    arguments: Mapping[str, str]
    fixed: Mapping[str, Any]
    defaults: Mapping[str, Any]
    tables: tuple[str, str]
    names: CheckpointNames

    @property
    def has_segments(self) -> bool:
        """Whether it takes segment ids; without, its position table holds the one segment's row too."""
        return "num_segments" in self.arguments


def _names(
    segments: bool = False, pooler: bool = False, block_prefix: str = "transformer_layer_{i}/", **more: str
) -> CheckpointNames:
    encoder = {"embeddings_layer_norm": "embeddings.norm", **more}
    if segments:
        encoder["segment_embedding/embeddings"] = "embeddings.segment_table"
    return CheckpointNames(
        prefix="",
        encoder=encoder,
        pooler={"pooled_dense": "pooler"} if pooler else {},
        block_prefix=block_prefix,
        block=_BLOCK,
        heads={},
    )


def _tables(prefix: str = "") -> tuple[str, str]:
    return f"{prefix}token_embedding/embeddings", f"{prefix}position_embedding/embeddings"


_LAYOUTS = {
    "bert": _Layout(
        backbone="BertBackbone",
        arguments={**_ARGUMENTS, "num_segments": "num_segments"},
        fixed={"activation": "gelu_tanh", "layer_norm_epsilon": 1e-12, "pooler": True},
        defaults={},
        tables=_tables(),
        names=_names(segments=True, pooler=True),
    ),
    "distilbert": _Layout(
        backbone="DistilBertBackbone",
        arguments=_ARGUMENTS,
        fixed={"activation": "gelu", "layer_norm_epsilon": 1e-12, "pooler": False},
        defaults={"num_segments": 0, "classifier_dropout": 0.2},
        tables=_tables("token_and_position_embedding/"),
        names=_names(),
    ),
    "roberta": _Layout(
        backbone="RobertaBackbone",
        arguments=_ARGUMENTS,
        fixed={"activation": "gelu", "layer_norm_epsilon": 1e-5, "pooler": False},
        defaults={"num_segments": 1, "pad_token_id": 1, "position_offset": 2},
        tables=_tables("embeddings/"),
        names=_names(),
    ),
    "albert": _Layout(
        backbone="AlbertBackbone",
        arguments={**_ARGUMENTS, **_ALBERT_ARGUMENTS},
        fixed={"activation": "gelu_tanh", "layer_norm_epsilon": 1e-12, "pooler": True},
        defaults={},
        tables=_tables(),
        names=_names(
            segments=True,
            pooler=True,
            block_prefix="group_{g}_inner_layer_{j}/",
            embedding_projection="embeddings.projection",
        ),
    ),
}


def to_keras_hub(encoder: Encoder) -> Any:
    """The KerasHub backbone with this encoder's weights; it computes the same for texts padded on the right.

    Raises:
        ConfigError: KerasHub fixes what this encoder has otherwise (activation, epsilon, pooler, ...).
        MissingExtraError: keras-hub is not installed (extra `keras-hub`).
    """
    hub = _keras_hub()
    config, layout = encoder.config, _LAYOUTS[encoder.config.family]
    _require_expressible(config, layout)
    arguments = {theirs: getattr(config, ours) for theirs, ours in layout.arguments.items()}
    backbone = getattr(hub.models, layout.backbone)(**arguments, dtype=encoder.embeddings.dtype_policy)
    weights = _weights(backbone)
    for slot in encoder_slots(encoder, layout.names, _DIALECT):
        _find(weights, slot.name).assign(np.reshape(_array(slot.variable), weights[slot.name].shape))
    token_path, position_path = layout.tables
    tables = encoder.embeddings
    positions = _array(tables.position_table)[config.position_offset :]
    if config.num_segments == 1:
        positions = positions + _array(tables.segment_table)[0]
    _find(weights, token_path).assign(_array(tables.token_table))
    _find(weights, position_path).assign(positions)
    return backbone


def from_keras_hub(backbone: Any) -> Encoder:
    """The `Encoder` with the weights of a KerasHub backbone; it computes the same for texts padded on the right.

    Raises:
        CheckpointError: the backbone is of another kind, or its weights are not the ones expected.
    """
    family = next((name for name, layout in _LAYOUTS.items() if layout.backbone == type(backbone).__name__), None)
    if family is None:
        expected = ", ".join(layout.backbone for layout in _LAYOUTS.values())
        raise CheckpointError(f"KerasHub's {type(backbone).__name__} is not supported: expected one of {expected}")
    layout = _LAYOUTS[family]
    theirs = backbone.get_config()
    values = {ours: theirs[name] for name, ours in layout.arguments.items()}
    values.update(family=family, attention_dropout=values["hidden_dropout"], **layout.fixed, **layout.defaults)
    weights = _weights(backbone)
    with about_to_load() as start:
        encoder = Encoder(EncoderConfig(**values), dtype=backbone.dtype_policy)
        slots = encoder_slots(encoder, layout.names, _DIALECT)
        expected_names = {*(slot.name for slot in slots), *layout.tables}
        if left_over := sorted(set(weights) - expected_names):
            raise CheckpointError(f"{layout.backbone}: left over {', '.join(left_over[:8])}")
        for slot in slots:
            start.give(slot.variable, functools.partial(_write, _find(weights, slot.name), slot))
        tokens, positions = (_array(_find(weights, path)) for path in layout.tables)
        start.give(encoder.embeddings.token_table, lambda out: np.copyto(out, tokens))
        if not layout.has_segments and encoder.embeddings.segment_table is not None:
            # Its row is in the position table already.
            start.give(encoder.embeddings.segment_table, lambda out: out.fill(0))
        # Rows before the offset serve padding alone, which no token attends to.
        before = encoder.config.position_offset
        padded = np.pad(positions, ((before, 0), (0, 0)))
        start.give(encoder.embeddings.position_table, lambda out: np.copyto(out, padded))
    return encoder


def _keras_hub() -> Any:
    try:
        import keras_hub
    except ImportError as error:
        raise MissingExtraError(
            f"keras-hub cannot be imported ({error}): pip install 'keras-bert-toolkit[keras-hub]'"
        ) from error
    return keras_hub


def _require_expressible(config: EncoderConfig, layout: _Layout) -> None:
    """Refuse what the backbone would silently compute otherwise.

    Raises:
        ConfigError: naming the first field.
    """
    pruned = {"head_size": None, "intermediate_sizes": None}
    required = {**layout.fixed, **pruned, "attention_dropout": config.hidden_dropout}
    for field, value in required.items():
        if getattr(config, field) != value:
            raise ConfigError(
                f"KerasHub's {layout.backbone} has {field} {value!r}, this encoder {getattr(config, field)!r}: "
                f"where that is what you want, load it with {field}={value!r}"
            )
    if (config.num_segments >= 2) != layout.has_segments:
        raise ConfigError(
            f"KerasHub's {layout.backbone} takes {'' if layout.has_segments else 'no '}segment ids, "
            f"this encoder has num_segments {config.num_segments}"
        )
    if config.family == "albert":
        groups = config.num_layer_groups
        if groups is None or config.num_layers % groups or config.embedding_size == config.hidden_size:
            raise ConfigError(
                "KerasHub's AlbertBackbone needs shared layers in groups of one size and an embedding_size that is not "
                f"hidden_size; this encoder has {config.num_layers} layers, num_layer_groups {groups}, embedding_size "
                f"{config.embedding_size}, hidden_size {config.hidden_size}"
            )
    elif config.num_layer_groups is not None or config.embedding_size != config.hidden_size:
        raise ConfigError(f"KerasHub's {layout.backbone} has no shared layers and no factorised embedding")


def _weights(backbone: Any) -> dict[str, Any]:
    """Path -> variable, without the seeds of dropout."""
    return {weight.path: weight for weight in backbone.weights if "seed_generator" not in weight.path}


def _find(weights: Mapping[str, Any], path: str) -> Any:
    if path not in weights:
        raise CheckpointError(f"the KerasHub backbone has no weight {path}; another version of keras-hub is installed")
    return weights[path]


def _write(variable: Any, slot: Slot, out: np.ndarray) -> None:
    """Heads side by side in one axis, as our Dense layers have them."""
    values = _array(variable)
    if values.size != out.size:
        raise CheckpointError(f"{slot.name} has shape {list(values.shape)}, expected {list(out.shape)}")
    out[...] = values.reshape(out.shape)


def _array(variable: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable.value).astype(np.float32, copy=False)
