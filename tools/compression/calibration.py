"""The texts that quantisation measures on: plain ones, or examples of a task's data file, as the model reads them."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from typing import Any

import numpy as np

from keras_bert.data import tokenize
from keras_bert.errors import DataError, KerasBertError

from ..evaluate import follow_model, saved_adapter
from ..tasks import ADAPTERS
from .corpus import read_corpus
from .vocabulary import unknown_share

UNKNOWN_WARNING = 0.05  # share of unknown tokens above which texts are likely in another language
_LONGEST = 128  # tokens; longer texts say little more
_PLAIN = ".txt"


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Texts for two ends, drawn from one file.

    Attributes:
        features: model inputs int32 [1, length] to calibrate with. held_out: others, to measure losses on; the same
            where the file holds too few for both.
        texts: how many the file holds. unknown: share of unknown tokens among those drawn.
    """

    features: list[dict[str, np.ndarray]]
    held_out: list[dict[str, np.ndarray]]
    texts: int
    unknown: float


def read_calibration(
    path: str, checkpoint: pathlib.Path, model: Any, options: argparse.Namespace, *, count: int, held_out: int
) -> Calibration:
    """Draw texts from a file, by `options.seed`.

    A file of `--calibration` that ends in .txt has a text a line; another, and `--train` whatever its name, is data of
    the model's task.

    Warns on standard error where many of the tokens are unknown to the model.

    Raises:
        DataError: the file cannot be read or holds no text.
        KerasBertError: data for a model whose task has none.
    """
    if options.calibration is not None and pathlib.Path(path).suffix == _PLAIN:
        tokenized = tokenize(model.tokenizer, read_corpus(path), max_length=_limit(model))
    else:
        if model.task not in ADAPTERS:
            raise KerasBertError(
                f"a model for {model.task} has no data files: expected --calibration with a text a line, in a file that"
                f" ends in {_PLAIN}, got {path}"
            )
        task = saved_adapter(checkpoint, options)
        follow_model(options, getattr(model, "problem_type", None))
        tokenized = task.training_examples(model, task.read(path, options), _limit(model), options).texts
    if not len(tokenized):
        raise DataError(f"{path} holds no text to calibrate with")
    chosen = np.random.default_rng(options.seed).permutation(len(tokenized))[: count + held_out]
    features = [_features(tokenized, index, model) for index in chosen]
    ids = np.concatenate([each["token_ids"][0] for each in features])
    unknown = unknown_share(model.tokenizer, ids)
    if unknown > UNKNOWN_WARNING:
        print(
            f"warning: {unknown:.1%} of the tokens of {path} are unknown to the model: are its texts in the model's"
            " language?",
            file=sys.stderr,
        )
    enough = len(features) >= 2 * held_out
    return Calibration(features[:-held_out] if enough else features, features[-held_out:], len(tokenized), unknown)


def _limit(model: Any) -> int:
    return min(_LONGEST, model.config.max_positions)


def _features(tokenized: Any, index: int, model: Any) -> dict[str, np.ndarray]:
    found = tokenized.features(np.array([index]), model.config, multiple_of=1)
    return {"segment_ids": np.zeros_like(found["token_ids"]), **found}
