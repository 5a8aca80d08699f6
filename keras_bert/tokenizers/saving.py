"""From a Tokenizer to the files of a checkpoint folder, such that Hugging Face's AutoTokenizer opens it."""

from __future__ import annotations

import base64
import json
import os
import pathlib
from typing import Any

from ..errors import TokenizerError
from ..files import atomic_directory
from .reading import from_vocabulary_files
from .sentencepiece_model import CONTROL, NORMAL, UNKNOWN, USER_DEFINED, SentencePieceModel
from .tokenizer import Tokenizer

# Kind -> family -> the Hugging Face class that rebuilds exactly this pipeline from vocabulary and settings.
TOKENIZER_CLASSES = {
    "wordpiece": {"bert": "BertTokenizer", "distilbert": "DistilBertTokenizer"},
    "bpe": {"roberta": "RobertaTokenizer"},
    "unigram": {"albert": "AlbertTokenizer"},
}
# Any other pairing is read from tokenizer.json as it stands.
GENERIC_CLASS = "PreTrainedTokenizerFast"
# The families whose models take segment ids; Hugging Face calls these token_type_ids.
SEGMENT_FAMILIES = ("bert", "albert")


def save_tokenizer(tokenizer: Tokenizer, directory: str | os.PathLike[str], family: str) -> None:
    """Write the files; see `Tokenizer.save`."""
    content = json.loads(tokenizer.to_json())
    config = _config(tokenizer, content, family)
    with atomic_directory(directory) as folder:
        files = _vocabulary_files(tokenizer, content)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        if not _rebuilds(folder, config, content):
            # The older files and the named classes know one pipeline each; this one is another.
            config["tokenizer_class"] = GENERIC_CLASS
            for name in files:
                (folder / name).unlink()
        (folder / "tokenizer.json").write_bytes(tokenizer.to_json().encode("utf-8"))
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        (folder / "tokenizer_config.json").write_bytes(text.encode("utf-8"))


def _rebuilds(folder: pathlib.Path, config: dict[str, Any], content: dict[str, Any]) -> bool:
    """Whether the older files in `folder` with the settings in `config` give the pipeline that `content` describes."""
    try:
        rebuilt = json.loads(from_vocabulary_files(folder, config).to_str())
    except TokenizerError:
        return False
    return all(rebuilt[part] == content[part] for part in ("normalizer", "pre_tokenizer", "post_processor"))


def _vocabulary_files(tokenizer: Tokenizer, content: dict[str, Any]) -> dict[str, bytes]:
    """File name -> content of the older vocabulary files."""
    if tokenizer.kind == "wordpiece":
        return {"vocab.txt": _vocabulary_lines(tokenizer).encode("utf-8")}
    if tokenizer.kind == "unigram":
        return {"spiece.model": _sentencepiece(content).to_bytes()}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"]]
    return {
        "vocab.json": json.dumps(content["model"]["vocab"], ensure_ascii=False).encode("utf-8"),
        "merges.txt": ("\n".join(["#version: 0.2", *merges]) + "\n").encode("utf-8"),
    }


def _config(tokenizer: Tokenizer, content: dict[str, Any], family: str) -> dict[str, Any]:
    """The entries of tokenizer_config.json under Hugging Face's names."""
    config: dict[str, Any] = {
        "tokenizer_class": TOKENIZER_CLASSES[tokenizer.kind].get(family, GENERIC_CLASS),
        "model_input_names": ["input_ids", *["token_type_ids"] * (family in SEGMENT_FAMILIES), "attention_mask"],
    }
    if tokenizer.model_max_length is not None:
        config["model_max_length"] = tokenizer.model_max_length
    for role in ("cls", "sep", "pad", "unk", "mask"):
        if tokenizer.role_token(role) is not None:
            config[f"{role}_token"] = tokenizer.role_token(role)
    for token in content["added_tokens"]:
        if token["lstrip"] and token["content"] == config.get("mask_token"):
            config["mask_token"] = {"__type": "AddedToken", **{key: token[key] for key in token if key != "id"}}
    if tokenizer.kind == "wordpiece":
        normalizer = content["normalizer"] or {}
        config["do_lower_case"] = tokenizer.lowercase
        config["strip_accents"] = normalizer.get("strip_accents")
        config["tokenize_chinese_chars"] = normalizer.get("handle_chinese_chars", True)
        return config
    config["bos_token"], config["eos_token"] = tokenizer.role_token("cls"), tokenizer.role_token("sep")
    if tokenizer.kind == "bpe":
        processor = content["post_processor"] or {}
        config["add_prefix_space"] = processor.get("add_prefix_space", False)
        config["trim_offsets"] = processor.get("trim_offsets", True)
    else:
        config["do_lower_case"] = tokenizer.lowercase
        config["keep_accents"] = "StripAccents" not in (step["type"] for step in _steps(content["normalizer"]))
    return config


def _vocabulary_lines(tokenizer: Tokenizer) -> str:
    """One token a line in the order of ids; an id without a token leaves its line empty."""
    lines = [""] * tokenizer.vocab_size
    for token, token_id in tokenizer.vocab.items():
        lines[token_id] = token
    return "\n".join(lines) + "\n"


def _sentencepiece(content: dict[str, Any]) -> SentencePieceModel:
    """The pieces, their types and the character map, as a SentencePiece file holds them."""
    added = {token["content"]: token["special"] for token in content["added_tokens"]}
    pieces = []
    for index, (piece, score) in enumerate(content["model"]["vocab"]):
        kind = NORMAL
        if index == content["model"]["unk_id"]:
            kind = UNKNOWN
        elif piece in added:
            kind = CONTROL if added[piece] else USER_DEFINED
        pieces.append((piece, score, kind))
    charsmaps = [
        step["precompiled_charsmap"] for step in _steps(content["normalizer"]) if step["type"] == "Precompiled"
    ]
    return SentencePieceModel(tuple(pieces), base64.b64decode(charsmaps[0]) if charsmaps else b"")


def _steps(normalizer: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The steps of a normaliser, a single one being a sequence of one."""
    if normalizer is None:
        return []
    return normalizer["normalizers"] if normalizer["type"] == "Sequence" else [normalizer]
