"""A task model as a SavedModel for TensorFlow Serving, which takes ids or, with tensorflow-text inside, strings.

It needs neither Keras nor this package to run: `tf.saved_model.load`, after `import tensorflow_text` where it takes
strings. Its assets are tokenizer.json and, where the task has labels, labels.txt.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_bert.errors import ExportError
from keras_bert.files import atomic_directory
from keras_bert.text import TextPreprocessor

from .tflite.texts import SENTENCES, passages

SIGNATURE = "serving_default"
_TOLERANCE = 1e-5  # of the largest output: the same operations, ordered anew by the graph's optimiser
_BATCH = 16
_PASSAGE_CHARACTERS = 400
# The tasks that answer for each token: whoever sends strings must learn which token an answer is for.
_TOKEN_TASKS = ("token_classification", "question_answering", "masked_lm")


@dataclasses.dataclass(frozen=True)
class SavedModelReport:
    """What was written and measured.

    Attributes:
        inputs, outputs: names in the signature `serving_default`.
        max_length: tokens that longer texts are cut to; None where ids come in.
        size: bytes of all files.
        texts: how many were compared with Keras on the host tokenizer's ids; max_difference: largest of an output,
            as a share of the largest output.
        tokenized_differently: texts left out of that because graph and host gave other ids (see `keras_bert.text`).
    """

    inputs: list[str]
    outputs: list[str]
    max_length: int | None
    size: int
    texts: int
    max_difference: float
    tokenized_differently: list[str]


class ServedModel(tf.Module):
    """What the SavedModel's function needs, and nothing of Keras: weights, the tokenizer's resources, files."""

    def __init__(self, model: Any, preprocessor: TextPreprocessor | None, assets: Sequence[pathlib.Path]) -> None:
        super().__init__(name="keras_bert")
        self._weights = [variable.value for variable in model.variables]
        self._tokenizer = preprocessor.ids if preprocessor is not None else None
        self._assets = [tf.saved_model.Asset(str(path)) for path in assets]


def serving_function(model: Any, preprocessor: TextPreprocessor | None, pairs: bool) -> Any:
    """The concrete function of the signature.

    Args:
        preprocessor: makes ids of strings; None, and ids come in.
        pairs: strings come in pairs.
    """
    if preprocessor is None:
        names = ["token_ids", "padding_mask", *(["segment_ids"] if model.config.uses_segments else [])]
        specs = {name: tf.TensorSpec([None, None], tf.int32, name) for name in names}
    else:
        names = ["text", "pair"] if pairs else ["text"]
        specs = {name: tf.TensorSpec([None], tf.string, name) for name in names}

    def serve(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        if preprocessor is None:
            return task_outputs(model, inputs)
        features = preprocessor(*(inputs[name] for name in names))
        outputs = task_outputs(model, features)
        return {**outputs, **features} if model.task in _TOKEN_TASKS else outputs

    return tf.function(serve, autograph=False).get_concrete_function(**specs)


def task_outputs(model: Any, features: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """The model's outputs by name, float32, with probabilities and label where the task has them.

    Args:
        features: `token_ids`, `padding_mask` and `segment_ids` (left out where the model has none), int32
            [batch, length].
    """
    names = ["token_ids", "padding_mask", *(["segment_ids"] if model.config.uses_segments else [])]
    outputs = model({name: features[name] for name in names}, training=False)
    if not isinstance(outputs, Mapping):
        outputs = {"embedding" if model.task == "sentence_embedding" else "logits": outputs}
    outputs = {name: tf.cast(value, tf.float32) for name, value in outputs.items()}
    problem = getattr(model, "problem_type", "single_label_classification")
    if getattr(model, "labels", ()) and problem == "multi_label_classification":
        outputs["probabilities"] = tf.sigmoid(outputs["logits"])
    elif getattr(model, "labels", ()) and problem == "single_label_classification":
        outputs["probabilities"] = tf.nn.softmax(outputs["logits"])
        outputs["label"] = tf.gather(tf.constant(list(model.labels)), tf.argmax(outputs["logits"], axis=-1))
    return outputs


def export_saved_model(
    model: Any,
    path: str | os.PathLike[str],
    *,
    text_input: bool = False,
    pairs: bool = False,
    max_length: int | None = None,
    texts: Sequence[str] = (),
    advance: Callable[[int], None] = lambda steps: None,
) -> SavedModelReport:
    """Write `model` to the folder `path`, checked against Keras on real text; whole or not at all.

    Args:
        model: a task model with a tokenizer.
        text_input: the signature takes `text` (and `pair`), strings [batch], instead of ids. Token tasks then give
            `token_ids`, `padding_mask` and `segment_ids` back as well.
        pairs: take pairs of strings; for question answering (the question, its context) always.
        max_length: longer texts are cut to as many tokens; None, to the model's positions.
        texts: to check with, beside built-in ones.
        advance: called with 1 after each batch that was checked.

    Raises:
        ExportError: the folder has content already, another Keras backend, settings that do not go together, or the
            SavedModel's outputs are not Keras's.
        TokenizerError, MissingExtraError: no strings can go in: see `keras_bert.text`.
    """
    path = pathlib.Path(path)
    _check(model, path, text_input, pairs, max_length)
    pairs = pairs or (text_input and model.task == "question_answering")
    limit = max_length or model.config.max_positions
    preprocessor = TextPreprocessor(model.tokenizer, max_length=limit) if text_input else None
    if path.exists():
        with contextlib.suppress(OSError):  # a mounted volume, say: files move into that one by one
            path.rmdir()  # empty, as was checked: so that one rename puts the new folder there
    with tempfile.TemporaryDirectory() as assets, atomic_directory(path) as temporary:
        served = ServedModel(model, preprocessor, _write_assets(model, pathlib.Path(assets)))
        function = serving_function(model, preprocessor, pairs)
        tf.saved_model.save(served, str(temporary), signatures={SIGNATURE: function})
        report = verify(temporary, model, preprocessor, _check_texts(model, limit, texts), pairs, limit, advance)
    return dataclasses.replace(report, max_length=limit if text_input else None)


def verify(
    folder: pathlib.Path,
    model: Any,
    preprocessor: TextPreprocessor | None,
    texts: Sequence[str],
    pairs: bool,
    max_length: int,
    advance: Callable[[int], None] = lambda steps: None,
) -> SavedModelReport:
    """Load the SavedModel in `folder` and compare it with Keras on the host tokenizer's ids.

    Raises:
        ExportError: an output is missing, misshapen, not finite, or differs.
    """
    signature = tf.saved_model.load(str(folder)).signatures[SIGNATURE]
    columns = [list(column) for column in ((texts[0::2], texts[1::2]) if pairs else (texts,))]
    columns = [column[: len(columns[-1])] for column in columns]
    different: list[str] = []
    if preprocessor is not None:
        different, columns = _same_ids(model, preprocessor, columns)
    largest, outputs = 0.0, []
    for start in range(0, len(columns[0]), _BATCH):
        batch = [column[start : start + _BATCH] for column in columns]
        features = model.tokenizer(*batch, max_length=max_length)
        expected = {name: value.numpy() for name, value in task_outputs(model, features).items()}
        mask = features["padding_mask"] if model.task in _TOKEN_TASKS else None
        if preprocessor is None:
            _, inputs = signature.structured_input_signature
            got = signature(**{name: tf.constant(features[name]) for name in inputs})
        else:
            expected |= features if model.task in _TOKEN_TASKS else {}
            names = ("text", "pair")
            got = signature(**{name: tf.constant(column) for name, column in zip(names, batch, strict=False)})
        largest = max(largest, _difference(expected, got, mask))
        outputs = sorted(got)
        advance(1)
    return SavedModelReport(
        inputs=list(signature.structured_input_signature[1]),
        outputs=outputs,
        max_length=None,
        size=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        texts=len(columns[0]),
        max_difference=largest,
        tokenized_differently=different,
    )


def _check(model: Any, path: pathlib.Path, text_input: bool, pairs: bool, max_length: int | None) -> None:
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            f"a SavedModel is written from the TensorFlow backend; Keras runs on {keras.backend.backend()}"
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ExportError(
            f"{path} exists and is not an empty folder: a SavedModel is written whole, into a new one (TensorFlow"
            " Serving expects one folder a version: NAME/1, NAME/2, ...)"
        )
    if not text_input and (pairs or max_length is not None):
        raise ExportError("pairs and max_length are settings of text input: ids come as they are")
    limit = model.config.max_positions
    if max_length is not None and not 1 <= max_length <= limit:
        raise ExportError(f"max_length {max_length}: expected 1 to {limit}, the model's positions")


def _write_assets(model: Any, folder: pathlib.Path) -> list[pathlib.Path]:
    contents = {"tokenizer.json": model.tokenizer.to_json()}
    labels = getattr(model, "labels", ())
    for label in labels:
        if len(label.splitlines()) != 1:
            raise ExportError(f"the label {label!r} cannot be exported: labels.txt has one label a line")
    if labels:
        contents["labels.txt"] = "".join(f"{label}\n" for label in labels)
    for name, text in contents.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in contents]


def _check_texts(model: Any, max_length: int, texts: Sequence[str]) -> list[str]:
    """Sentences, passages, one text that is cut, an empty one, special tokens in a text, and `texts`."""
    everything = " ".join(SENTENCES)
    longest = everything
    while len(model.tokenizer.encode(longest)) <= max_length:
        longest = f"{longest} {everything}"
    spelled = [f"a {token} b" for token in (model.tokenizer.role_token("mask"),) if token]
    return [*SENTENCES, *passages(SENTENCES, _PASSAGE_CHARACTERS), longest, "", *spelled, *texts]


def _same_ids(
    model: Any, preprocessor: TextPreprocessor, columns: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """The texts (or pairs, joined) whose ids in the graph are not the host's, and the columns without them."""
    equal = np.ones(len(columns[0]), bool)
    for column in columns:
        host, graph = model.tokenizer.tokenize_batch(column), preprocessor.ids(tf.constant(column)).to_list()
        equal &= [ids == others for ids, others in zip(host, graph, strict=True)]
    if not equal.any():
        raise ExportError("no text has the same ids in the graph as on the host: there is nothing to check with")
    rows = list(zip(*columns, strict=True))
    different = [" | ".join(row) for row, same in zip(rows, equal, strict=True) if not same]
    return different, [[text for text, same in zip(column, equal, strict=True) if same] for column in columns]


def _difference(expected: Mapping[str, np.ndarray], got: Mapping[str, tf.Tensor], mask: np.ndarray | None) -> float:
    """The largest difference of an output, as a share of its largest value; where `mask` is 0 it is not compared."""
    if set(expected) != set(got):
        raise ExportError(f"the SavedModel's outputs are {sorted(got)}, expected {sorted(expected)}")
    largest = 0.0
    for name, reference in expected.items():
        values = got[name].numpy()
        if values.shape != reference.shape:
            raise ExportError(f"the SavedModel's {name} has shape {values.shape}, expected {reference.shape}")
        if mask is not None:
            values, reference = values[mask == 1], reference[mask == 1]
        if not np.issubdtype(reference.dtype, np.floating):
            if not np.array_equal(values, reference):
                raise ExportError(f"the SavedModel's {name} are not those of Keras")
            continue
        if not np.isfinite(values).all():
            raise ExportError(f"the SavedModel's {name} holds NaN or infinity")
        largest = max(largest, float(np.abs(values - reference).max() / max(1.0, np.abs(reference).max())))
    if largest > _TOLERANCE:
        raise ExportError(f"the SavedModel's outputs are off by {largest:.2g} of their size, more than {_TOLERANCE:g}")
    return largest
