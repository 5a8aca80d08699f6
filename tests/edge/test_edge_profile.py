"""`keras-bert-edge bench --profile`: every operator of the file is counted once, and its time is of its own."""

import json
import pathlib
import subprocess
import sys

import keras_bert_edge
import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "vectors"
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")


def operators(name):
    """How many operators of each kind the file's first graph has, read from its FlatBuffer."""
    names = {value: key for key, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    model = schema.Model.GetRootAs((FOLDER / f"{name}.tflite").read_bytes(), 0)
    graph, counts = model.Subgraphs(0), {}
    for index in range(graph.OperatorsLength()):
        kind = names[model.OperatorCodes(graph.Operators(index).OpcodeIndex()).BuiltinCode()]
        counts[kind] = counts.get(kind, 0) + 1
    return counts


@pytest.mark.parametrize("name", ["int8_default", "pairs", "fills"])
def test_every_operator_is_counted(name):
    from keras_bert_edge import profile

    manifest, _ = keras_bert_edge.model.inspect(FOLDER / f"{name}.tflite")
    result = profile.profile(FOLDER / f"{name}.tflite", manifest.model_size, None, 30)
    assert {row["name"]: row["count"] for row in result["operators"]} == operators(name)
    assert result["whole"] > 0
    assert sum(row["seconds"] for row in result["operators"]) > 0
    assert "FULLY_CONNECTED" in profile.table(result)


def test_the_command():
    options = ["--length", "8", "30", "--runs", "5", "--profile", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "keras_bert_edge", "bench", str(FOLDER / "int8_default.tflite"), *options],
        stdout=subprocess.PIPE,
        check=True,
        cwd=pathlib.Path(keras_bert_edge.__file__).parents[1],
    )
    assert [part["tokens"] for part in json.loads(done.stdout)["profile"]] == [8, 30]
