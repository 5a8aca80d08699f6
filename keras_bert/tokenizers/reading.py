"""From the files of a checkpoint folder to a Tokenizer."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import tokenizers

from ..errors import TokenizerError
from . import bpe, unigram, wordpiece
from .special_tokens import ROLE_NAMES
from .tokenizer import Tokenizer

# Google's ALBERT archives have the second name.
SENTENCEPIECE = ("spiece.model", "30k-clean.model")
# Any of these makes a folder one with a tokenizer, perhaps a broken one.
FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", *SENTENCEPIECE)
FAMILIES = ("distilbert", "roberta", "albert", "bert")
# Hugging Face writes 1e30 for "no limit".
MAX_PLAUSIBLE_LENGTH = 10**9


def read_tokenizer(directory: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer of a checkpoint folder; see `Tokenizer.from_pretrained`."""
    folder = pathlib.Path(directory)
    if not folder.is_dir():
        raise TokenizerError(f"{folder} is not a folder")
    config = _optional_json(folder / "tokenizer_config.json")
    settings: dict[str, Any] = {
        "family": _family(config, _optional_json(folder / "config.json")),
        "names": _names(config),
        "model_max_length": _max_length(config),
    }
    path = folder / "tokenizer.json"
    if path.exists():
        return Tokenizer.from_json(_text(path), source=str(path), **settings)
    backend = from_vocabulary_files(folder, config)
    return _guarded(lambda: Tokenizer(backend, **settings), str(folder))


def backend_from_json(text: str, source: str) -> tokenizers.Tokenizer:
    """The pipeline that a `tokenizer.json` describes.

    Raises:
        TokenizerError: not JSON, or not a description that the `tokenizers` package can run.
    """
    try:
        return _guarded(lambda: tokenizers.Tokenizer.from_str(text), source)
    except TokenizerError:
        if "model" not in _parse_json(text, source):  # a plainer message than the parser's, where there is one
            raise TokenizerError(f"{source} has no 'model' entry: it is not a file of the tokenizers package") from None
        raise


def from_vocabulary_files(folder: pathlib.Path, config: dict[str, Any]) -> tokenizers.Tokenizer:
    """The pipeline for the older vocabulary files, which leave the settings to `tokenizer_config.json` (`config`)."""
    names = _names(config)
    vocab_txt, vocab_json = folder / "vocab.txt", folder / "vocab.json"
    merges_txt = folder / "merges.txt"
    spiece = next((folder / name for name in SENTENCEPIECE if (folder / name).exists()), None)
    if vocab_txt.exists():
        vocabulary = wordpiece.parse_vocabulary(_text(vocab_txt), str(vocab_txt))
        return _guarded(
            lambda: wordpiece.build_wordpiece(
                vocabulary,
                lowercase=_flag(config, "do_lower_case", not wordpiece.looks_cased(vocabulary)),
                strip_accents=_flag(config, "strip_accents", None),
                split_chinese=_flag(config, "tokenize_chinese_chars", True),
                names=names,
                source=str(vocab_txt),
            ),
            str(vocab_txt),
        )
    if vocab_json.exists() or merges_txt.exists():
        vocabulary = bpe.parse_vocabulary(_text(vocab_json), str(vocab_json))
        # A vocabulary of single characters (amino acids, say) merges nothing and comes without the file.
        merges_text = "" if bpe.is_alphabet(vocabulary) and not merges_txt.exists() else _text(merges_txt)
        merges = bpe.parse_merges(merges_text, vocabulary, str(merges_txt))
        return _guarded(
            lambda: bpe.build_byte_level_bpe(
                vocabulary,
                merges,
                add_prefix_space=_flag(config, "add_prefix_space", False),
                trim_offsets=_flag(config, "trim_offsets", True),
                names=names,
                source=str(vocab_json),
            ),
            str(vocab_json),
        )
    if spiece is not None:
        return _guarded(
            lambda: unigram.read_sentencepiece(
                _bytes(spiece),
                lowercase=_flag(config, "do_lower_case", True),
                keep_accents=_flag(config, "keep_accents", False),
                names=names,
                source=str(spiece),
            ),
            str(spiece),
        )
    raise TokenizerError(
        f"{folder} holds no tokenizer: expected tokenizer.json, vocab.txt, vocab.json with merges.txt, or spiece.model"
    )


def _guarded(build: Callable[[], Any], source: str) -> Any:
    """Call `build`; whatever the Rust side raises, panics included, becomes a TokenizerError naming the file."""
    try:
        return build()
    except TokenizerError:
        raise
    except Exception as error:
        raise TokenizerError(f"{source} is not a usable tokenizer: {error}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise TokenizerError(f"{source} is not a usable tokenizer: {error}") from error


def _bytes(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TokenizerError(f"cannot read {path}: {error.strerror or error}") from error


def _text(path: pathlib.Path) -> str:
    try:
        return _bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error


def _parse_json(text: str, source: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{source} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise TokenizerError(f"{source} must hold a JSON object, got {type(content).__name__}")
    return content


def _optional_json(path: pathlib.Path) -> dict[str, Any]:
    return _parse_json(_text(path), str(path)) if path.exists() else {}


def _flag(config: dict[str, Any], name: str, default: Any) -> Any:
    """A true-or-false setting of tokenizer_config.json; absent and null mean the default."""
    value = config.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise TokenizerError(f"tokenizer_config.json: {name} must be true or false, got {value!r}")
    return value


def _names(config: dict[str, Any]) -> dict[str, str]:
    """Role -> token of the `cls_token`, ... entries, each a string or an object with `content`."""
    names = {}
    for role in ROLE_NAMES:
        value = config.get(f"{role}_token")
        if isinstance(value, dict):
            value = value.get("content")
        if value is None:
            continue
        if not isinstance(value, str) or not value:
            raise TokenizerError(f"tokenizer_config.json: {role}_token must be a string, got {value!r}")
        names[role] = value
    return names


def _family(config: dict[str, Any], model_config: dict[str, Any]) -> str | None:
    """The family that config.json's model_type, or else the tokenizer class, names."""
    for value in (model_config.get("model_type"), config.get("tokenizer_class")):
        if isinstance(value, str):
            for family in FAMILIES:
                if value.lower().startswith(family):
                    return family
    return None


def _max_length(config: dict[str, Any]) -> int | None:
    value = config.get("model_max_length")
    if isinstance(value, (int, float)) and 0 < value < MAX_PLAUSIBLE_LENGTH:
        return int(value)
    return None
