"""The small files beside a sentence-transformers checkpoint that say how vectors are pooled."""

from __future__ import annotations

import pathlib
from typing import Any

from ..errors import CheckpointError
from ..files import atomic_write_json
from .config_json import read_json

MODULES, POOLING = "modules.json", "1_Pooling/config.json"
FILES = [MODULES, POOLING, "sentence_bert_config.json"]
_KINDS = {"Transformer", "Pooling", "Normalize"}
_MODES = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}


def read_pooling(path: pathlib.Path) -> dict[str, Any]:
    """`pooling` and `normalize` as the directory says; nothing where it does not.

    Raises:
        CheckpointError: it says something else than mean or cls, or has modules that change the vectors otherwise.
    """
    kinds = _module_kinds(path / MODULES)
    if others := sorted(kinds - _KINDS):
        raise CheckpointError(
            f"{path / MODULES}: the module {others[0]} is not supported: expected {', '.join(sorted(_KINDS))}"
        )
    file = path / POOLING
    if not file.exists():
        return {}
    raw = read_json(file)
    mode = raw.get("pooling_mode")
    modes = [mode] if mode else [name for name, key in _MODES.items() if raw.get(key)]
    if len(modes) != 1 or not isinstance(modes[0], str) or modes[0] not in _MODES:
        raise CheckpointError(f"{file}: expected mean or cls pooling, got {mode or raw}")
    return {"pooling": modes[0], "normalize": "Normalize" in kinds}


def _module_kinds(file: pathlib.Path) -> set[str]:
    """The classes of sentence-transformers that the directory is made of, by their own names."""
    if not file.exists():
        return set()
    modules = read_json(file, list)
    if not all(isinstance(module, dict) and isinstance(module.get("type"), str) for module in modules):
        raise CheckpointError(f"{file}: expected a list of modules, each with a type")
    return {module["type"].rpartition(".")[2] for module in modules}


def write_pooling(path: pathlib.Path, model: Any) -> None:
    """Write the files, so that sentence-transformers opens the directory too."""
    stages = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling")]
    stages += [("2", "2_Normalize", "Normalize")] if model.normalize else []
    modules = [
        {"idx": int(i), "name": i, "path": folder, "type": f"sentence_transformers.models.{kind}"}
        for i, folder, kind in stages
    ]
    # A plain list, as sentence-transformers reads it.
    atomic_write_json(path / MODULES, modules)
    atomic_write_json(path / FILES[2], {"max_seq_length": model.config.max_positions})
    pooling = {"word_embedding_dimension": model.config.hidden_size}
    pooling.update({key: model.pooling == name for name, key in _MODES.items()})
    atomic_write_json(path / POOLING, pooling)
