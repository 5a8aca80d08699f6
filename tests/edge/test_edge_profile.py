"""`keras-bert-edge bench --profile`: every operator of the file is counted once, and its time is of its own."""

import copy
import json
import pathlib
import subprocess
import sys

import keras_bert_edge
import pytest
from tflite_file import FIXTURES

FOLDER = pathlib.Path(__file__).parents[1] / "vectors"
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")


def operators(path):
    """How many operators of each kind the file's first graph has, read from its FlatBuffer."""
    names = {value: key for key, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    graph, found = model.Subgraphs(0), {}
    for index in range(graph.OperatorsLength()):
        kind = names[model.OperatorCodes(graph.Operators(index).OpcodeIndex()).BuiltinCode()]
        found[kind] = found.get(kind, 0) + 1
    return found


def counts(result):
    return {row["name"]: row["count"] for row in result["operators"]}


@pytest.mark.parametrize("name", ["int8_default", "pairs", "fills"])
def test_every_operator_is_counted(name):
    from keras_bert_edge import profile

    manifest, _ = keras_bert_edge.model.inspect(FOLDER / f"{name}.tflite")
    result = profile.profile(FOLDER / f"{name}.tflite", manifest.model_size, {"serving_default": None}, 30)
    assert counts(result) == operators(FOLDER / f"{name}.tflite")
    assert result["whole"] > 0
    assert sum(row["seconds"] for row in result["operators"]) > 0
    assert "FULLY_CONNECTED" in profile.table(result)


@pytest.mark.parametrize(
    ("name", "lengths", "expected"), [("lengths", [16, 8, 12], [16, 8]), ("mediapipe", [8, 16], [16])]
)
def test_lengths_are_those_of_the_signatures_that_run_them(name, lengths, expected):
    from keras_bert_edge import bench

    path = FIXTURES / f"{name}.tflite"
    found = bench.measure(path, lengths, runs=1, cold_starts=1, with_profile=True)["profile"]
    assert [part["tokens"] for part in found] == expected
    for part in found:
        assert counts(part) == operators(path)
        assert part["whole"] > 0


def test_the_graph_of_a_length_is_taken_apart():
    """The file's first graph is that of its longer signature, its second that of the shorter."""
    from keras_bert_edge import profile

    path = FIXTURES / "lengths.tflite"
    manifest, _ = keras_bert_edge.model.inspect(path)
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    for key, length in manifest.signatures.items():
        content, roles = profile._graph_of(copy.deepcopy(tree), key, path.read_bytes())
        graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
        assert sorted(roles.values()) == ["padding_mask", "segment_ids", "token_ids"]
        for tensor in roles:
            assert graph.Tensors(tensor).ShapeAsNumpy().tolist() == [1, length]


def test_the_command():
    options = ["--length", "8", "30", "--runs", "5", "--profile", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "keras_bert_edge", "bench", str(FOLDER / "int8_default.tflite"), *options],
        stdout=subprocess.PIPE,
        check=True,
        cwd=pathlib.Path(keras_bert_edge.__file__).parents[1],
    )
    assert [part["tokens"] for part in json.loads(done.stdout)["profile"]] == [8, 30]
