"""`keras-bert benchmark`: every column filled, peers beside ours, errors named."""

from __future__ import annotations

import functools
import json
import pathlib

import command
import numpy as np
import pytest
from keras_bert_tools.benchmark import _Worker
from keras_bert_tools.benchmark_worker import open_litert, summary

from keras_bert.errors import KerasBertError

TESTS = pathlib.Path(__file__).parents[1]
VECTORS, FIXTURES = TESTS / "vectors", TESTS / "edge" / "fixtures"


run = functools.partial(command.run, "benchmark")


def onnx_model(path):
    """A network with a BERT's inputs, in which the mask and the segments are read."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    names = ("input_ids", "attention_mask", "token_type_ids")
    nodes = [
        helper.make_node("Add", ["input_ids", "token_type_ids"], ["sum"]),
        helper.make_node("Mul", ["sum", "attention_mask"], ["masked"]),
        helper.make_node("Gather", ["table", "masked"], ["logits"]),
    ]
    table = numpy_helper.from_array(np.zeros((200, 4), np.float32), "table")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, [1, "n"]) for name in names]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "n", 4])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, [table])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def test_files_side_by_side(tmp_path, capsys):
    onnx_model(tmp_path / "peer.onnx")
    pytest.importorskip("matplotlib")
    report, picture = tmp_path / "report.json", tmp_path / "picture.png"
    files = (VECTORS / "int8_default.tflite", tmp_path / "peer.onnx")
    assert run(*files, "--length", 8, 30, "--runs", 40, "-o", report, "--picture", picture) == 0
    shown = capsys.readouterr().out
    results = json.loads(report.read_text())["results"]
    assert [row["runtime"] for row in results][:2] == ["litert", "onnxruntime"]
    for row in results:
        assert row["size"] == pathlib.Path(row["file"]).stat().st_size
        assert row["cold_start"] > 0.005
        assert row["peak_bytes"] is None or row["peak_bytes"] > 10e6
        assert [result["tokens"] for result in row["latency"]] == [8, 30]
        for result in row["latency"]:
            assert 0 < result["p50"] <= result["p90"] <= result["p99"]
            assert result["tokens_per_second"] == pytest.approx(result["tokens"] / result["p50"])
        assert f"{row['cold_start'] * 1e3:.0f} ms" in shown
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["peer.onnx", "picture.png", "report.json"]


@pytest.mark.parametrize(
    ("name", "lengths"),
    [("lengths", [8, 12, 16]), ("mediapipe", [5, 16]), ("masked_lengths", [16])],
)
def test_files_of_fixed_lengths_run_the_smallest_that_fits(name, lengths, tmp_path):
    """Files of 16 tokens at most too, which is less than 20, the shortest length by default."""
    report = tmp_path / "report.json"
    assert run(FIXTURES / f"{name}.tflite", "--length", *lengths, "--runs", 5, "-o", report) == 0
    (row,) = json.loads(report.read_text())["results"]
    assert [result["tokens"] for result in row["latency"]] == lengths


def test_each_length_runs_its_own_signature():
    """The outputs of the masks have a row a token: they tell how long the signature was that ran."""
    pytest.importorskip("ai_edge_litert")
    prepare = open_litert(str(FIXTURES / "masked_lengths.tflite"), 1)
    for length, size in ((3, 8), (8, 8), (9, 16), (16, 16), (4, 8)):
        (logits,) = prepare(length)().values()
        assert logits.shape[1] == size


def test_a_length_beyond_the_longest_is_named(capsys):
    assert run(FIXTURES / "lengths.tflite", "--length", 8, 17) == 2
    assert "the file has fixed lengths up to 16 tokens, and 17 were asked for" in capsys.readouterr().err


def test_quantiles():
    found = summary(10, [value / 100 for value in range(100, 0, -1)])
    assert (found["p50"], found["p90"], found["p99"]) == (0.51, 0.91, 1.0)
    assert found["tokens_per_second"] == pytest.approx(10 / 0.51)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.tflite"], "missing.tflite is not a file"),
        ([__file__], "is of no known kind: expected .tflite or .onnx"),
        ([VECTORS / "pairs.tflite", "--length", "2"], "a text has 3 tokens or more"),
    ],
)
def test_refused(arguments, message, capsys):
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_does_not_run_is_named(tmp_path, capsys):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    assert run(broken) == 2
    assert "broken.tflite in litert failed: " in capsys.readouterr().err


def test_a_worker_that_dies_between_its_turns_is_named():
    """For want of memory, say. A BrokenPipeError would mean a reader of ours that has gone."""
    worker = _Worker(VECTORS / "pairs.tflite", "litert", 1, 8)
    try:
        worker.process.kill()
        worker.process.wait()
        with pytest.raises(KerasBertError, match=r"pairs\.tflite in litert failed: killed by signal 9"):
            worker.ask({"length": 8, "runs": 1})
    finally:
        worker.close()


def test_a_runtime_that_logs_much_does_not_wait_for_a_reader(monkeypatch):
    """Python says of each import where it looks: hundreds of kilobytes, more than a pipe holds."""
    monkeypatch.setenv("PYTHONVERBOSE", "2")
    worker = _Worker(VECTORS / "pairs.tflite", "litert", 1, 8)
    try:
        assert len(worker.ask({"length": 8, "runs": 2})["seconds"]) == 2
    finally:
        worker.close()
