"""config.json of an exported file: what the model does and how it is called, each field checked before it is used."""

import json
import math
from typing import Any, NamedTuple, Optional

from .errors import EdgeError

FORMAT = "keras-bert-edge"
FORMAT_VERSION = 1
TASKS = ("sequence_classification", "token_classification", "question_answering", "sentence_embedding", "masked_lm")
PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")
LABELLED_TASKS = ("sequence_classification", "token_classification")

# Special tokens of a RoBERTa pair, and some text: anything shorter is no model for texts.
MIN_LENGTH = 8
MAX_LENGTH = 1 << 20
MAX_BATCH = 1024


class Manifest(NamedTuple):
    """The checked fields of config.json; lengths are tokens, special tokens included.

    `known_answer`: a text's `token_ids` and `segment_ids`, the first values of the model's `outputs` for it by name,
    and the relative error (`tolerance`) that a runtime may make; None in files without one. `batch`: where the model
    for lists is (see `keras_bert_edge.batch`): how many texts it answers at once (`size`) and the first four bytes of a
    FlatBuffer that opens it (`root`); None in files without one.
    """

    task: str
    family: str
    labels: list[str]
    problem_type: Optional[str]
    max_length: int
    pad_token_id: int
    signatures: dict[str, Optional[int]]
    profile: str
    recipe: str
    model_size: int
    versions: dict[str, str]
    known_answer: Optional[dict[str, Any]]
    batch: Optional[dict[str, int]]


def parse_manifest(content, path):
    """Manifest from the bytes of config.json.

    Raises:
      EdgeError: not JSON, another format, a newer format version, or a field of the wrong kind; names field and file.
    """
    try:
        config = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise EdgeError(f"config.json in {path} is not JSON: {error}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise EdgeError(
            f"config.json in {path} is not of the format {FORMAT!r}: the file was not exported by keras-bert"
        )
    version = config.get("format_version", 0)
    if not _is_integer(version, 1, math.inf):
        raise _wrong(path, "format_version", "a positive integer", version)
    if version > FORMAT_VERSION:
        raise EdgeError(
            f"{path} has the newer format {version}, and this keras-bert-edge reads up to {FORMAT_VERSION}:"
            " upgrade keras-bert-edge"
        )

    def take(name, expected, accepts, default=None):
        value = config.get(name, default)
        if not accepts(value):
            raise _wrong(path, name, expected, value)
        return value

    task = take("task", f"one of {', '.join(TASKS)}", lambda value: value in TASKS)
    labels = take("labels", "a list of different strings", _are_labels, [])
    if task in LABELLED_TASKS and not labels:
        raise _wrong(path, "labels", f"at least one label for {task}", labels)
    problem_type = take(
        "problem_type", f"one of {', '.join(PROBLEM_TYPES)}", lambda value: value in (None, *PROBLEM_TYPES)
    )
    if task == "sequence_classification" and problem_type is None:
        raise _wrong(path, "problem_type", f"one of {', '.join(PROBLEM_TYPES)}", None)
    if problem_type == "regression" and len(labels) != 1:
        raise _wrong(path, "labels", "one name for the one value of a regression", labels)
    length = f"an integer from {MIN_LENGTH} to {MAX_LENGTH}"
    model_size = take("model_size", "the size of the model in bytes", lambda value: _is_integer(value, 1, math.inf))
    return Manifest(
        task=task,
        labels=labels,
        problem_type=problem_type,
        max_length=take("max_length", length, lambda value: _is_integer(value, MIN_LENGTH, MAX_LENGTH)),
        pad_token_id=take("pad_token_id", "a token id", lambda value: _is_integer(value, 0, 2**31 - 1)),
        signatures=take(
            "signatures", "one signature of dynamic length (null) or several of fixed lengths", _are_signatures
        ),
        model_size=model_size,
        versions=take("versions", "names with versions", _are_versions, {}),
        known_answer=take("known_answer", "a text's ids with the outputs for it", _is_known_answer),
        batch=take(
            "batch", "a size and a place inside the model", lambda value: value is None or _is_batch(value, model_size)
        ),
        **{name: take(name, "a string", _is_string, "") for name in ("family", "profile", "recipe")},
    )


def _is_string(value):
    return isinstance(value, str)


def _is_integer(value, low, high):
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _are_labels(value):
    return isinstance(value, list) and all(map(_is_string, value)) and len(set(value)) == len(value)


def _are_versions(value):
    return isinstance(value, dict) and all(map(_is_string, value.values()))


def _is_known_answer(value):
    if value is None:
        return True
    if not isinstance(value, dict) or set(value) != {"token_ids", "segment_ids", "outputs", "tolerance"}:
        return False
    ids, segments, outputs = value["token_ids"], value["segment_ids"], value["outputs"]
    if not all(isinstance(row, list) and all(_is_integer(x, 0, 2**31 - 1) for x in row) for row in (ids, segments)):
        return False
    return (
        0 < len(ids) == len(segments)
        and _is_number(value["tolerance"])
        and isinstance(outputs, dict)
        and all(isinstance(row, list) and all(map(_is_number, row)) for row in outputs.values())
    )


def _is_batch(value, model_size):
    return (
        isinstance(value, dict)
        and set(value) == {"size", "root"}
        and _is_integer(value["size"], 2, MAX_BATCH)
        and _is_integer(value["root"], 8, model_size - 4)
        and value["root"] % 4 == 0
    )


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e30


def _are_signatures(value):
    if not isinstance(value, dict) or not value:
        return False
    lengths = list(value.values())
    return lengths == [None] or all(_is_integer(length, MIN_LENGTH, MAX_LENGTH) for length in lengths)


def _wrong(path, name, expected, value):
    try:
        shown = json.dumps(value)
    except RecursionError:  # what `loads` read may be too deep for `dumps`
        shown = "something nested too deeply"
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return EdgeError(f"config.json in {path}: {name} must be {expected}, not {shown}")
