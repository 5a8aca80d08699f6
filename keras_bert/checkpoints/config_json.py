"""`config.json` of Hugging Face checkpoints and `bert_config.json` of Google's <-> `EncoderConfig`."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from ..config import EncoderConfig
from ..errors import CheckpointError, ConfigError
from ..models.families import FAMILIES, get_family
from ..models.family import Family

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
}
# Fields under their own names, which `transformers` has not: its attention is always as wide as the encoder and its
# feed-forward layers are all alike, so that it refuses a checkpoint where one of these is given.
_OWN = ("head_size", "intermediate_sizes")
_ACTIVATION_NAMES = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu"}

# Options of `transformers` that change the network in a way this encoder does not have.
_FIXED = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False}


def read_json(path: pathlib.Path, kind: type = dict) -> Any:
    """The JSON object in `path`, or the list where `kind` is that.

    Raises:
        CheckpointError: the file is missing, not JSON, or of another kind.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, kind):
        expected = "a JSON object" if kind is dict else "a JSON list"
        raise CheckpointError(f"{path}: expected {expected}, got {type(value).__name__}")
    return value


def parse_config(raw: dict[str, Any], path: pathlib.Path) -> tuple[Family, EncoderConfig]:
    """Family and encoder configuration of a checkpoint's configuration file.

    Raises:
        CheckpointError: another architecture, or values that do not fit.
    """
    model_type = raw.get("model_type") or _guess_family(raw)
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise CheckpointError(
            f"{path}: model_type {model_type!r} is not supported: expected one of {', '.join(FAMILIES)}"
        )
    family = get_family(model_type)
    for key, expected in _FIXED.items():
        if raw.get(key, expected) not in (expected, None):
            raise CheckpointError(f"{path}: {key} is {raw[key]!r}; only {expected!r} is supported")
    values: dict[str, Any] = {"family": family.name, **family.config_defaults}
    for key, field in family.config_fields.items():
        if raw.get(key) is not None:
            values[field] = raw[key]
    values |= {name: raw[name] for name in _OWN if raw.get(name) is not None}
    try:
        if "activation" in values:
            values["activation"] = _ACTIVATIONS.get(values["activation"], values["activation"])
        if raw.get("classifier_dropout") is None and "classifier_dropout" in family.config_fields:
            values["classifier_dropout"] = values.get("hidden_dropout", 0.1)
        if family.name == "roberta":
            values["position_offset"] = values["pad_token_id"] + 1
            values["max_positions"] = values.get("max_positions", 512) - values["position_offset"]
        return family, EncoderConfig(**values)
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def architectures(raw: Mapping[str, Any]) -> list[str]:
    """The classes of `transformers` that a configuration names, none where it does not."""
    names = raw.get("architectures")
    return [str(name) for name in names] if isinstance(names, list) else []


def _guess_family(raw: dict[str, Any]) -> str | None:
    """Google's files name no model type: theirs are BERT's, or ALBERT's where the embedding is factorised."""
    if "num_hidden_groups" in raw:
        return "albert"
    return "bert" if {"hidden_size", "num_hidden_layers", "type_vocab_size"} <= set(raw) else None


def write_config(config: EncoderConfig, architecture: str) -> dict[str, Any]:
    """The `config.json` that `transformers` reads, for an encoder configuration."""
    family = get_family(config.family)
    values = config.to_dict()
    values["activation"] = _ACTIVATION_NAMES[values["activation"]]
    values["max_positions"] = config.position_rows
    if config.num_layer_groups is None and family.name == "albert":
        values["num_layer_groups"] = config.num_layers
    raw = {key: values[field] for key, field in family.config_fields.items()}
    raw |= {name: values[name] for name in _OWN if values[name] is not None}
    return {"architectures": [architecture], "model_type": family.name, **raw, "dtype": "float32"}
