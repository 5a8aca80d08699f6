"""From a Tokenizer to the files of a checkpoint folder, such that Hugging Face's AutoTokenizer opens it."""

from __future__ import annotations

import base64
import json
import os
import pathlib
from typing import Any

from ..files import atomic_directory
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
    with atomic_directory(directory) as folder:
        _write(folder / "tokenizer.json", tokenizer.to_json())
        _write(folder / "tokenizer_config.json", _dump(_config(tokenizer, content, family)))
        if tokenizer.kind == "wordpiece":
            _write(folder / "vocab.txt", _vocabulary_lines(tokenizer))
        elif tokenizer.kind == "bpe":
            _write(folder / "vocab.json", json.dumps(content["model"]["vocab"], ensure_ascii=False))
            merges = (merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"])
            _write(folder / "merges.txt", "\n".join(["#version: 0.2", *merges]) + "\n")
        else:
            (folder / "spiece.model").write_bytes(_sentencepiece(tokenizer, content).to_bytes())


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


def _sentencepiece(tokenizer: Tokenizer, content: dict[str, Any]) -> SentencePieceModel:
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


def _dump(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _write(path: pathlib.Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8"))
