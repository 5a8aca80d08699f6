"""An exported file opened in LiteRT and held against the Keras model it was made from."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_bert.errors import ExportError
from keras_bert.models.quantization import dense_layers, quantizers

from .comparison import Comparison, chooses
from .layout import BATCH_SIGNATURE, Layout
from .recipes import Recipe
from .runtime import Session
from .schema import schema
from .writer import with_root

_SIZE_SLACK = 0.02  # of the size that the parameters need: tables of the format, operators
_SIZE_SLACK_BYTES = 128 * 1024
_BATCH = 16  # texts that Keras computes at once
_ROW_TASKS = ("token_classification", "question_answering", "masked_lm")
_ROLES = {"ids": "token_ids", "mask": "padding_mask"}  # MediaPipe's names -> ours


@dataclasses.dataclass(frozen=True)
class Verification:
    """What was measured.

    Attributes:
        texts, tokens: how many were compared.
        error: rms(file - Keras) / rms(Keras) over all outputs; tolerance: what the recipe allows.
        max_difference: largest absolute difference of an output.
        agreement: share of choices (label of a text or token, start and end of an answer) that are Keras's; None where
            nothing is chosen.
        expected_size, size: bytes of the FlatBuffer.
    """

    texts: int
    tokens: int
    error: float
    tolerance: float
    max_difference: float
    agreement: float | None
    expected_size: int
    size: int


def verify(
    path: str | os.PathLike[str],
    size: int,
    model: Any,
    recipe: Recipe,
    layout: Layout,
    texts: Sequence[Mapping[str, np.ndarray]],
    advance: Callable[[int], None] = lambda steps: None,
) -> Verification:
    """Check size, operators and outputs of the file at `path`.

    Args:
        size: bytes of its FlatBuffer.
        texts: model inputs, int32 [1, length] each, of many lengths; those too long for the file are left out.
        advance: called with 1 after each text.

    Raises:
        ExportError: the file is not the model it was made from; the message says in which way.
    """
    expected = expected_size(model, recipe)
    if abs(size - expected) > expected * _SIZE_SLACK + _SIZE_SLACK_BYTES:
        raise ExportError(
            f"the exported model has {size:,} bytes, expected {expected:,}: weights are missing or doubled"
        )
    _check_operators(path, size)
    try:
        session = Session(path, threads=2)
    except (ValueError, RuntimeError) as error:
        raise ExportError(f"LiteRT does not open the exported model: {error}") from error
    comparison = Comparison()
    fitting = [features for features in texts if fitting_signatures(layout.signatures, features)]
    if not fitting:
        raise ExportError(f"no text is short enough to check the exported model with: {dict(layout.signatures)}")
    advance(len(texts) - len(fitting))
    lists = None if layout.batch_size is None else _Lists(path, size, model, layout.batch_size, comparison)
    for features, reference in keras_outputs(model, fitting, layout.profile):
        length = features["token_ids"].shape[1]
        signature = fitting_signatures(layout.signatures, features)[0]
        filled = padded(features, layout.signatures[signature], model.config.pad_token_id)
        try:
            outputs = session.run(signature, renamed(filled, session.signatures[signature]))
        except (ValueError, RuntimeError) as error:
            raise ExportError(f"the exported model fails at {length} tokens: {error}") from error
        rows = length if model.task in _ROW_TASKS else None
        comparison.add(reference, {name: value[:, :rows] for name, value in outputs.items()}, length)
        if lists:
            lists.add(features, reference)
        advance(1)
    tokens = sum(features["token_ids"].shape[1] for features in fitting)
    agreement = _judged(comparison, recipe, model)
    return Verification(
        len(fitting), tokens, comparison.error, recipe.tolerance, comparison.largest, agreement, expected, size
    )


class _Lists:
    """Compares the same texts as the model for lists answers them, `batch_size` neighbours in length at once."""

    def __init__(
        self, path: str | os.PathLike[str], size: int, model: Any, batch_size: int, comparison: Comparison
    ) -> None:
        with zipfile.ZipFile(path) as archive:
            root = json.loads(archive.read("config.json"))["batch"]["root"]
        self.session = Session(with_root(pathlib.Path(path).read_bytes()[:size], root), threads=2)
        self.model, self.batch_size, self.comparison = model, batch_size, comparison
        self.group: list[tuple[Mapping[str, np.ndarray], dict[str, np.ndarray]]] = []

    def add(self, features: Mapping[str, np.ndarray], reference: dict[str, np.ndarray]) -> None:
        """The next text, from the shortest to the longest; compared when its list is full."""
        self.group.append((features, reference))
        if len(self.group) < self.batch_size:
            return
        longest = features["token_ids"].shape[1]
        rows = [padded(each, longest, self.model.config.pad_token_id) for each, _ in self.group]
        inputs = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        outputs = self.session.run(BATCH_SIGNATURE, inputs)
        for row, (_, expected) in enumerate(self.group):
            self.comparison.add(expected, {name: value[row : row + 1] for name, value in outputs.items()}, longest)
        self.group.clear()


def expected_size(model: Any, recipe: Recipe) -> int:
    """Bytes that the parameters need, counted on the Keras model: shared ones once, those not read not at all."""
    layers = dense_layers(model)
    pooler = [] if model.encoder.pooler is None else model.encoder.pooler.weights  # where it is read, among the layers
    counted = {id(variable) for variable in pooler}
    owners: list[Any] = [*layers.values(), *quantizers(model).values()]
    for layer in owners:
        counted |= {id(variable) for variable in layer.weights}
    total = sum(
        4 * layer.units + recipe.matrix_bytes(name, *layer.kernel.shape[::-1]) for name, layer in layers.items()
    )
    embeddings = model.encoder.embeddings
    for variable in model.weights:
        if id(variable) in counted or "seed_generator" in variable.path:
            continue
        if variable is embeddings.token_table or variable is embeddings.position_table:
            total += recipe.table_bytes(*variable.shape)
        else:
            total += 4 * int(np.prod(variable.shape))
    if model.task == "masked_lm" and recipe.tables == "int8":  # the token table is a matrix too
        total += 12 * model.config.vocab_size
    return total


def keras_outputs(
    model: Any, texts: Sequence[Mapping[str, np.ndarray]], profile: str
) -> Iterator[tuple[Mapping[str, np.ndarray], dict[str, np.ndarray]]]:
    """Each text, from the shortest to the longest, with the Keras model's outputs under the names the file gives them.

    Texts of like length are computed together, padded and masked as in training.
    """
    names = ["token_ids", "padding_mask", *(["segment_ids"] if model.config.uses_segments else [])]
    ordered = sorted(texts, key=lambda features: features["token_ids"].shape[1])
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        longest = batch[-1]["token_ids"].shape[1]
        filled = [padded(features, longest, model.config.pad_token_id) for features in batch]
        inputs = {name: np.concatenate([features[name] for features in filled]) for name in names}
        outputs = model(inputs, training=False)
        if not isinstance(outputs, Mapping):
            outputs = {"embedding" if model.task == "sentence_embedding" else "logits": outputs}
        if profile == "mediapipe" and "logits" in outputs:
            multi = model.problem_type == "multi_label_classification"
            outputs = {"probability": ops.sigmoid(outputs["logits"]) if multi else ops.softmax(outputs["logits"])}
        arrays = {name: ops.convert_to_numpy(value).astype(np.float32) for name, value in outputs.items()}
        for row, features in enumerate(batch):
            rows = features["token_ids"].shape[1] if model.task in _ROW_TASKS else None
            yield features, {name: value[row : row + 1, :rows] for name, value in arrays.items()}


def _judged(comparison: Comparison, recipe: Recipe, model: Any) -> float | None:
    """The agreement of all choices, None where nothing is chosen.

    Raises:
        ExportError: the outputs are further from Keras's than the recipe allows.
    """
    if comparison.error > recipe.tolerance:
        raise ExportError(
            f"the exported model's outputs are off by {comparison.error:.2g} of their size, more than the"
            f" {recipe.tolerance:g} that {recipe.name} allows"
        )
    if not chooses(model):
        return None
    # Close calls, which rounding may tip, count in the agreement reported but are not held against the file.
    clear = comparison.agreement(clear_by=recipe.tolerance)
    if clear is not None and clear < recipe.agreement:
        raise ExportError(
            f"the exported model chooses as Keras does in {clear:.1%} of the clear cases, fewer than the"
            f" {recipe.agreement:.0%} that {recipe.name} allows"
        )
    return comparison.agreement()


def fitting_signatures(signatures: Mapping[str, int | None], features: Mapping[str, np.ndarray]) -> list[str]:
    """The signatures that a text fits, the one with the fewest tokens first."""
    length = features["token_ids"].shape[1]
    sizes = {name: length if size is None else size for name, size in signatures.items()}
    return sorted((name for name, size in sizes.items() if size >= length), key=sizes.__getitem__)


def padded(features: Mapping[str, np.ndarray], length: int | None, pad_token_id: int) -> dict[str, np.ndarray]:
    """A text's inputs filled up to `length` tokens; as they are where the length is the caller's."""
    if length is None:
        return dict(features)
    padding = length - features["token_ids"].shape[1]
    fill = {"token_ids": pad_token_id}
    return {
        name: np.pad(value, ((0, 0), (0, padding)), constant_values=fill.get(name, 0))
        for name, value in features.items()
    }


def renamed(features: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    """A text's inputs under the `names` that a signature has for them."""
    return {name: features[_ROLES.get(name, name)] for name in names}


def _check_operators(path: str | os.PathLike[str], size: int) -> None:
    """Builtin operators alone: Flex and custom ones need a runtime that was built with them."""
    content = np.memmap(path, np.uint8, "r", shape=(size,))
    model = schema.Model.GetRootAs(content, 0)
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        if code.CustomCode() is not None or code.BuiltinCode() == schema.BuiltinOperator.CUSTOM:
            raise ExportError(
                f"the exported model needs the operator {code.CustomCode()!r}, which is not a builtin one"
            )
