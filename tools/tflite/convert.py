"""A task model to the FlatBuffer of a .tflite file and the files that go with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from keras_bert import __version__
from keras_bert.errors import ExportError

from .batch_graph import BatchGraph
from .graph import FlatGraph, InputNames
from .known_answer import known_answer
from .layout import BATCH_SIGNATURE, Layout
from .metadata import MODEL_METADATA_NAME, TensorDescription, write_metadata
from .prepare import prepare
from .recipes import Recipe
from .subgraph import Tensor
from .weights import Weights
from .writer import ModelWriter

_INPUTS = {
    "default": InputNames(),
    "compatible": InputNames(),
    "mediapipe": InputNames(token_ids="ids", padding_mask="mask", segment_ids="segment_ids"),
}
_DESCRIPTIONS = {
    "token_ids": "Token ids of the text, special tokens included.",
    "padding_mask": "1 for a token, 0 for padding.",
    "segment_ids": "0 for the first text, 1 for the second of a pair.",
    "logits": "Unnormalised scores.",
    "probability": "Probability of each label.",
    "start_logits": "Scores of each token as the first of the answer.",
    "end_logits": "Scores of each token as the last of the answer.",
    "embedding": "The text as a vector.",
}


def convert(
    model: Any,
    recipe: Recipe,
    layout: Layout,
    calibration: Sequence[Mapping[str, np.ndarray]],
    weights: Weights | None = None,
) -> tuple[bytes, dict[str, bytes]]:
    """The model's FlatBuffer, and its associated files by name.

    Args:
        model: a task model with a tokenizer.
        calibration: model inputs of varied texts, int32 [1, length] each; a short one becomes the file's known answer.
        weights: as the recipe stores them, where they are prepared already.

    Raises:
        ExportError: a weight that is not finite or does not fit the recipe, a label with a line break, or a model that
            is too large for the format.
    """
    members = _text_members(model)
    if weights is None:
        weights = prepare(model, recipe, calibration, add_task(model)).assemble()
    writer = build_model(model, weights, layout, members)
    flatbuffer = to_bytes(writer)
    config = _config(model, recipe, layout, len(flatbuffer))
    if writer.second_root is not None:
        config["batch"] = {"size": layout.batch_size, "root": writer.second_root}
    answer = known_answer(flatbuffer, layout.signatures, model.config.pad_token_id, recipe, calibration)
    if answer is not None:
        config["known_answer"] = answer
    return flatbuffer, {"config.json": json.dumps(config, indent=1, ensure_ascii=False).encode(), **members}


def add_task(model: Any) -> Callable[[FlatGraph], dict[str, Tensor]]:
    """What adds the operators of the model's task to a graph and returns its outputs by name."""
    return lambda graph: _OUTPUTS[model.task](model, graph)


def build_model(model: Any, weights: Weights, layout: Layout, file_names: Collection[str] = ()) -> ModelWriter:
    """`model`'s task over `weights`, with a subgraph and signature for each of the layout's.

    Args:
        file_names: the associated files that its metadata shall mention, as far as it knows them.
    """
    writer = ModelWriter(
        f"keras-bert {__version__}: {model.config.family} for {model.task}",
        newest_operators=layout.profile != "compatible",
    )
    names = _INPUTS[layout.profile]
    mediapipe = layout.profile == "mediapipe"
    outputs_of, outputs = add_task(model), dict[str, Tensor]()
    for signature, length in layout.signatures.items():
        subgraph = writer.subgraph(signature)
        graph = FlatGraph(subgraph, weights, length=length, names=names, always_segments=mediapipe)
        outputs = outputs_of(graph)
        if mediapipe and "logits" in outputs:
            outputs = {"probability": _probability(model, graph, outputs["logits"])}
        for name, tensor in outputs.items():
            subgraph.output(name, tensor)
    roles = {name: role for role, name in dataclasses.asdict(names).items()}
    labels_file = "labels.txt" if "labels.txt" in file_names else None
    inputs = [entry.name for entry in writer.model.signatureDefs[0].inputs]
    metadata = write_metadata(
        f"{model.config.family} for {model.task.replace('_', ' ')}",
        "Written by keras-bert export.",
        [TensorDescription(name, _DESCRIPTIONS[roles[name]]) for name in inputs],
        [TensorDescription(name, _DESCRIPTIONS[name], labels_file) for name in outputs],
        "vocab.txt" if "vocab.txt" in file_names else None,
    )
    writer.add_metadata(MODEL_METADATA_NAME, metadata)
    if layout.batch_size is not None:
        subgraph = writer.subgraph_of_second(BATCH_SIGNATURE)
        for name, tensor in outputs_of(BatchGraph(subgraph, weights, layout.batch_size)).items():
            subgraph.output(name, tensor)
    return writer


def write_model(model: Any, weights: Weights, layout: Layout) -> bytes:
    """The FlatBuffer alone of `build_model`; raises what `to_bytes` does."""
    return to_bytes(build_model(model, weights, layout))


def to_bytes(writer: ModelWriter) -> bytes:
    """The FlatBuffer.

    Raises:
        ExportError: it would be larger than the format allows.
    """
    try:
        return writer.to_bytes()
    except OverflowError as error:
        raise ExportError(f"{error}: choose a smaller recipe") from error


def _probability(model: Any, graph: FlatGraph, logits: Tensor) -> Tensor:
    if model.problem_type == "multi_label_classification":
        return graph.graph.sigmoid(logits)
    return graph.graph.softmax(logits)


_OUTPUTS: dict[str, Callable[[Any, FlatGraph], dict[str, Tensor]]] = {
    "sequence_classification": lambda model, graph: {"logits": graph.sequence_logits()},
    "token_classification": lambda model, graph: {"logits": graph.token_logits()},
    "question_answering": lambda model, graph: dict(
        zip(("start_logits", "end_logits"), graph.span_logits(), strict=True)
    ),
    "sentence_embedding": lambda model, graph: {"embedding": graph.embedding(model.pooling, model.normalize)},
    "masked_lm": lambda model, graph: {"logits": graph.vocabulary_logits()},
}


def _text_members(model: Any) -> dict[str, bytes]:
    """tokenizer.json, and labels.txt and vocab.txt where the model has them."""
    members = {"tokenizer.json": model.tokenizer.to_json().encode()}
    labels = getattr(model, "labels", ())
    if labels:
        for label in labels:
            if len(label.splitlines()) != 1:
                raise ExportError(f"the label {label!r} cannot be exported: labels.txt has one label a line")
        members["labels.txt"] = "".join(f"{label}\n" for label in labels).encode()
    if model.tokenizer.kind == "wordpiece":
        id_of = model.tokenizer.vocab
        token_of = {token_id: token for token, token_id in id_of.items()}
        # A line's number is its id; ids that no token has still need their line.
        lines = (token_of.get(token_id, f"[unused_{token_id}]") for token_id in range(max(token_of) + 1))
        members["vocab.txt"] = "".join(f"{line}\n" for line in lines).encode()
    return members


def _config(model: Any, recipe: Recipe, layout: Layout, model_size: int) -> dict[str, Any]:
    """config.json: what a runner must know of the file."""
    names = _INPUTS[layout.profile]
    segments = model.config.uses_segments or layout.profile == "mediapipe"
    fixed = [length for length in layout.signatures.values() if length is not None]
    config = {
        "format": "keras-bert-edge",
        "format_version": 1,
        "task": model.task,
        "family": model.config.family,
        "labels": list(getattr(model, "labels", ())),
        "problem_type": getattr(model, "problem_type", None),
        "max_length": max(fixed) if fixed else model.config.max_positions,
        "pad_token_id": model.config.pad_token_id,
        "inputs": [
            names.token_ids,
            *([names.padding_mask] if fixed else []),
            *([names.segment_ids] if segments else []),
        ],
        "signatures": dict(layout.signatures),
        "profile": layout.profile,
        "recipe": recipe.name,
        "model_size": model_size,
        "versions": {"keras-bert-toolkit": __version__},
    }
    if model.task == "sentence_embedding":
        config |= {"pooling": model.pooling, "normalize": model.normalize}
    return config
