"""Hugging Face directories: config.json and safetensors, whole or in shards."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import save_file

from ..errors import CheckpointError
from ..models.families import FAMILIES
from ..models.family import Family
from .config_json import architectures, parse_config, read_json
from .names import HUGGINGFACE
from .source import Checkpoint
from .tensor_file import TensorFile

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_OLD_NORM_NAMES = {".gamma": ".weight", ".beta": ".bias"}


def is_huggingface(path: pathlib.Path) -> bool:
    """Whether the directory holds a Hugging Face checkpoint (readable or not)."""
    return (path / "config.json").exists()


def open_huggingface(path: pathlib.Path) -> Checkpoint:
    """Open a directory; tensors are read when asked for.

    Raises:
        CheckpointError: a file is missing or broken, or of a kind that is not read.
    """
    raw = read_json(path / "config.json")
    family, config = parse_config(raw, path / "config.json")
    weight_files, promised = _weight_files(path, raw)
    _check_architecture(raw, family, path)
    files: dict[str, TensorFile] = {}
    for opened in map(TensorFile, weight_files):
        if twice := sorted(set(files) & set(opened.names)):
            raise CheckpointError(f"{path}: {files[twice[0]].path.name} and {opened.path.name} both hold {twice[0]}")
        files.update(dict.fromkeys(opened.names, opened))
    if absent := sorted(promised - set(files)):
        raise CheckpointError(f"{path}: no shard holds {absent[0]}, which {INDEX} names")
    names = family.huggingface
    tensors = {_plain_name(name, names.prefix): name for name in files}
    if len(tensors) != len(files):
        raise CheckpointError(f"{path}: some tensors are there twice, with and without the prefix {names.prefix}")

    return Checkpoint(
        path=path,
        raw_config=raw,
        family=family,
        config=config,
        names=names,
        dialect=HUGGINGFACE,
        tensors=tensors,
        shape=lambda name: files[name].shape(name),
        read=lambda name: files[name].read(name),
    )


def _check_architecture(raw: Mapping[str, Any], family: Family, path: pathlib.Path) -> None:
    """Tensors of two families can have the same names and shapes (BERT's and RoBERTa's encoders)."""
    for architecture in architectures(raw):
        owners = [other.name for other in FAMILIES.values() if architecture in other.architectures.values()]
        if owners and family.name not in owners:
            raise CheckpointError(
                f"{path / 'config.json'}: model_type is {family.name!r}, and the architecture {architecture} is one of "
                f"{owners[0]}"
            )


def _weight_files(path: pathlib.Path, raw: Mapping[str, Any]) -> tuple[list[pathlib.Path], set[str]]:
    """The files with weights, and the tensors that an index promises in them."""
    if (path / WEIGHTS).exists():
        return [path / WEIGHTS], set()
    if (path / INDEX).exists():
        shards = read_json(path / INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards or not all(isinstance(file, str) for file in shards.values()):
            raise CheckpointError(f"{path / INDEX}: expected a weight_map from tensor to file")
        files = [path / name for name in sorted(set(shards.values()))]
        for file in files:
            if file.parent != path:
                raise CheckpointError(f"{path / INDEX}: shard {file.name} lies outside the checkpoint")
            if not file.exists():
                raise CheckpointError(f"{file} is missing: {INDEX} names it")
        return files, set(shards)
    for name in ("pytorch_model.bin", "pytorch_model.bin.index.json"):
        if (path / name).exists():
            # AutoModel would write the encoder alone.
            model = next(iter(architectures(raw)), "AutoModel")
            raise CheckpointError(
                f"{path / name} is a pickle, or names some, which can run code when it is opened, so it is not read. "
                f"Where you trust it: {model}.from_pretrained(...).save_pretrained(..., safe_serialization=True) of "
                f"transformers writes {WEIGHTS}"
            )
    raise CheckpointError(f"{path / WEIGHTS} is missing")


def _plain_name(name: str, prefix: str) -> str:
    """Without the family's prefix, LayerNorm scale and shift as they are spelled today."""
    name = name.removeprefix(prefix)
    for old, new in _OLD_NORM_NAMES.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray]) -> None:
    """Write `model.safetensors` as `transformers` expects it.

    Raises:
        CheckpointError: the file cannot be written, or the disk is full.
    """
    try:
        save_file(dict(tensors), os.fspath(path), metadata={"format": "pt"})
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"cannot write {path}: {error}") from error
