"""What compression_steps.py reads: test sets and exported files."""

from __future__ import annotations

import argparse
import json
import pathlib
import zipfile
from typing import Any

from keras_bert_tools.tasks import TaskAdapter
from keras_bert_tools.tflite.schema import schema


def read_test(task: TaskAdapter, path: pathlib.Path) -> Any:
    """A labelled file, read as the command line does without options."""
    return task.read(str(path), argparse.Namespace(**dict.fromkeys((*task.option_names, "strict"))))


def model_bytes(path: pathlib.Path) -> dict[str, int]:
    """Bytes of a file's model: `vocabulary`, its largest table that is looked up, without scales; `encoder`, all but
    such tables, their scales included."""
    with zipfile.ZipFile(path) as archive:
        size = json.loads(archive.read("config.json"))["model_size"]
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()[:size], 0))
    graph = model.subgraphs[0]
    looked_up = {
        graph.tensors[operator.inputs[1]].buffer
        for operator in graph.operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode == schema.BuiltinOperator.EMBEDDING_LOOKUP
    }
    tables = [len(model.buffers[buffer].data) for buffer in looked_up]
    return {"vocabulary": max(tables), "encoder": int(size - sum(tables))}
