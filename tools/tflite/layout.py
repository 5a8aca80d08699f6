"""Which signatures an exported file has, and whether the model suits those who shall read it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from keras_bert.errors import ExportError

from .recipes import RECIPES

TASKS = ("sequence_classification", "token_classification", "question_answering", "sentence_embedding", "masked_lm")
MEDIAPIPE_LENGTH = 128  # tokens, where nothing else is asked for
# Of 2, 4, 8 and 16 texts at a time, 4 were quickest on lists of short texts, float32 and int8: more leave more padding.
BATCH_SIZE = 4
BATCH_SIGNATURE = "batch"
BATCHED_TASKS = ("sequence_classification", "sentence_embedding")  # one row of output a text
_MIN_LENGTH = 8  # tokens; a RoBERTa pair has four special ones


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which signatures the file has.

    Attributes:
        signatures: name -> number of tokens, or None for a length that the caller sets.
        profile: `default`; `compatible` (operators that tflite-runtime 2.14 has); or `mediapipe` (names, inputs and
            output as MediaPipe Tasks expects).
        batch_size: how many texts of a list a second model beside these answers at once; None: there is no such model.
    """

    signatures: Mapping[str, int | None]
    profile: str = "default"
    batch_size: int | None = None


def plan_layout(model: Any, lengths: Sequence[int] | None, profile: str, recipe: str) -> Layout:
    """The layout for the lengths asked for, checked against the model and the recipe's name.

    Raises:
        ExportError: lengths that the model has no positions for, a task, tokenizer or recipe that the profile cannot
            serve.
    """
    if model.task not in TASKS:
        raise ExportError(f"a model for {model.task} cannot be exported; expected one for {', '.join(TASKS)}")
    limit = model.config.max_positions
    for length in lengths or ():
        if not _MIN_LENGTH <= length <= limit:
            raise ExportError(f"a length of {length} tokens: expected {_MIN_LENGTH} to {limit}, the model's positions")
    if profile == "compatible" and recipe == "float16":
        raise ExportError("tflite-runtime 2.14 cannot look rows up in float16 tables: choose float32 or dynamic_int8")
    if profile == "compatible" and RECIPES[recipe].needs_texts:
        raise ExportError(f"tflite-runtime 2.14 does not compute {recipe}: choose float32 or dynamic_int8")
    if profile == "mediapipe":
        return Layout({"serving_default": _mediapipe_length(model, lengths)}, profile)
    if not lengths:
        return Layout({"serving_default": None}, profile, BATCH_SIZE if model.task in BATCHED_TASKS else None)
    return Layout({f"length_{length}": length for length in sorted(set(lengths))}, profile)


def _mediapipe_length(model: Any, lengths: Sequence[int] | None) -> int:
    tokenizer = model.tokenizer
    if model.task not in ("sequence_classification", "sentence_embedding"):
        raise ExportError(
            f"MediaPipe has no task for {model.task} models of this kind; expected sequence_classification or"
            " sentence_embedding: use the default profile"
        )
    if getattr(model, "problem_type", None) == "regression":
        raise ExportError("MediaPipe's TextClassifier has no regression: use the default profile")
    if tokenizer.kind != "wordpiece":
        raise ExportError(
            f"MediaPipe's BERT tokenizer reads WordPiece vocabularies alone, this model's is {tokenizer.kind}: use the"
            " default profile"
        )
    if not tokenizer.lowercase:
        raise ExportError(
            "MediaPipe's BERT tokenizer lower-cases every text, this model's vocabulary is cased: use the default"
            " profile"
        )
    if lengths and len(set(lengths)) > 1:
        raise ExportError(f"MediaPipe reads files with one signature alone; expected one length, got {list(lengths)}")
    return lengths[0] if lengths else min(MEDIAPIPE_LENGTH, model.config.max_positions)
