"""Golden checkpoints, copied and changed: what the tests of reading and of refusing start from."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from harness import GOLDENS
from safetensors.numpy import load_file, save_file

import keras_bert as kb
from keras_bert.errors import CheckpointError

# Ending of the class name in `transformers` -> our task.
HEADS = {
    "ForMaskedLM": kb.MaskedLanguageModel,
    "ForPreTraining": kb.PretrainingModel,
    "ForSequenceClassification": kb.SequenceClassifier,
    "ForTokenClassification": kb.TokenClassifier,
    "ForQuestionAnswering": kb.QuestionAnswerer,
}

MLM = "bert/BertForMaskedLM"
CLASSIFIER = "bert/BertForSequenceClassification"

Tensors = dict[str, np.ndarray]


def tensors_of(folder: pathlib.Path) -> Tensors:
    return load_file(folder / "model.safetensors")


def copy_checkpoint(
    name: str,
    folder: pathlib.Path,
    change_tensors: Callable[[Tensors], Tensors] = lambda tensors: tensors,
    **change_config: Any,
) -> pathlib.Path:
    """Copy the golden checkpoint `name` into `folder` with its tensors and configuration changed."""
    config = json.loads((GOLDENS / name / "config.json").read_text())
    config = {key: value for key, value in {**config, **change_config}.items() if value is not ...}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(change_tensors(tensors_of(GOLDENS / name)), folder / "model.safetensors")
    return folder


def drop(*names: str) -> Callable[[Tensors], Tensors]:
    """A change that leaves out the tensors `names`."""
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if name not in names}


def refuse(path: pathlib.Path, *messages: str, task: Any = kb.MaskedLanguageModel) -> None:
    """Assert that `task` does not read the checkpoint at `path`, and that the one message has all of `messages`."""
    with pytest.raises(CheckpointError) as caught:
        task.from_pretrained(path)
    for message in messages:
        assert message in str(caught.value)
