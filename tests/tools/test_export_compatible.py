"""`keras-bert export --profile compatible`: nothing in it that tflite-runtime 2.14 lacks, and nothing coarser."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from harness import randomize
from keras_bert_tools import cli
from tiny import tiny_tokenizer

import keras_bert as kb


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same int8 model for both runtimes."""
    folder = tmp_path_factory.mktemp("compatible")
    tokenizer = tiny_tokenizer(folder / "m")
    sizes = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "intermediate_size": 64, "max_positions": 40}
    model = kb.TokenClassifier(
        kb.Encoder(kb.EncoderConfig(vocab_size=tokenizer.vocab_size, **sizes)), labels=["O", "B-X"], tokenizer=tokenizer
    )
    randomize(model)
    model.save_pretrained(folder / "m")
    for profile in ("default", "compatible"):
        command = ["export", str(folder / "m"), "-o", str(folder / f"{profile}.tflite"), "--profile", profile]
        assert cli.main(command) == 0
    return folder


def operator_versions(path):
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    codes = [model.OperatorCodes(index) for index in range(model.OperatorCodesLength())]
    return {(names[code.BuiltinCode()], code.Version()) for code in codes}


def test_no_operator_is_newer_than_the_runtime(files):
    """FULLY_CONNECTED of version 9 is there, 12 is not; of all others the first version is used."""
    versions = operator_versions(files / "compatible.tflite")
    assert ("FULLY_CONNECTED", 12) in operator_versions(files / "default.tflite")
    assert {(name, version) for name, version in versions if version > 1} == {("FULLY_CONNECTED", 9)}


def test_every_row_keeps_its_own_scale(files):
    """The outputs are those of the default profile up to the order of float32 products: no accuracy is paid."""
    draw = np.random.default_rng(0)
    for length in (3, 17, 40):
        ids = draw.integers(5, 60, (1, length)).astype("int32")
        inputs = {"token_ids": ids, "segment_ids": np.zeros_like(ids)}
        outputs = [
            Interpreter(str(files / f"{name}.tflite")).get_signature_runner("serving_default")(**inputs)["logits"]
            for name in ("default", "compatible")
        ]
        scale = np.abs(outputs[0]).max()
        # A product that lands between two int8 steps may round to the other one: at most a step somewhere.
        np.testing.assert_allclose(outputs[0], outputs[1], atol=0.02 * scale)
        assert np.median(np.abs(outputs[0] - outputs[1])) < 1e-3 * scale


def test_config_names_the_profile_and_a_known_answer(files):
    with zipfile.ZipFile(files / "compatible.tflite") as archive:
        config = json.loads(archive.read("config.json"))
    assert (config["profile"], config["signatures"]) == ("compatible", {"serving_default": None})
    known = config["known_answer"]
    runner = Interpreter(str(files / "compatible.tflite")).get_signature_runner("serving_default")
    inputs = {name: np.array([known[name]], "int32") for name in ("token_ids", "segment_ids")}
    np.testing.assert_allclose(runner(**inputs)["logits"].ravel()[:8], known["outputs"]["logits"], atol=1e-5)


def test_float16_is_refused(files, tmp_path, capsys):
    command = ["export", str(files / "m"), "-o", str(tmp_path / "x.tflite"), "--profile", "compatible"]
    assert cli.main([*command, "--recipe", "float16"]) == 2
    assert "tflite-runtime 2.14 cannot look rows up in float16 tables" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
