"""`keras-bert export` as a user runs it: the file, what it carries, and what is refused."""

import hashlib
import json
import zipfile

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from command import run
from exporting import SIZES, TEXTS, bare_outputs, encoded, save
from harness import randomize
from keras_bert_tools.export import load_model
from keras_bert_tools.tflite.archive import write_file
from keras_bert_tools.tflite.convert import convert
from keras_bert_tools.tflite.features import text_features
from keras_bert_tools.tflite.layout import Layout, plan_layout
from keras_bert_tools.tflite.recipes import RECIPES
from keras_bert_tools.tflite.verify import verify
from tiny import tiny_tokenizer

import keras_bert as kb
from keras_bert.errors import ExportError


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    return folder, save(folder)


@pytest.mark.parametrize(("recipe", "tolerance"), [("float32", 1e-5), ("float16", 1e-2), ("dynamic_int8", 0.1)])
def test_file_answers_as_keras_and_carries_what_it_needs(classifier, tmp_path, capsys, recipe, tolerance):
    folder, model = classifier
    path = tmp_path / "out" / "model.tflite"
    assert run("export", folder, "-o", path, "--recipe", recipe) == 0
    for text in TEXTS:
        inputs = encoded(model, text)
        expected = keras.ops.convert_to_numpy(model(inputs))
        got = bare_outputs(path, inputs)["logits"]
        assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()

    content = path.read_bytes()
    comment = content[-len("keras-bert sha256:") - 64 :]
    assert comment == b"keras-bert sha256:" + hashlib.sha256(content[: -len(comment)]).hexdigest().encode()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        members = {name: archive.read(name).decode() for name in archive.namelist()}
    assert sorted(members) == ["config.json", "labels.txt", "tokenizer.json", "vocab.txt"]
    assert members["labels.txt"].splitlines() == ["bad", "so so", "good"]
    assert members["vocab.txt"] == (folder / "vocab.txt").read_text(encoding="utf-8")
    config = json.loads(members["config.json"])
    assert {key: config[key] for key in ("task", "recipe", "signatures", "max_length", "pad_token_id", "inputs")} == {
        "task": "sequence_classification",
        "recipe": recipe,
        "signatures": {"serving_default": None},
        "max_length": 40,
        "pad_token_id": 0,
        "inputs": ["token_ids", "segment_ids"],
    }
    assert content[config["model_size"] :][:4] == b"PK\3\4"

    report = json.loads((tmp_path / "out" / "model.report.json").read_text())
    assert report["job"] == "export"
    assert report["sha256"] == hashlib.sha256(content[: -len(comment)]).hexdigest()
    assert report["file_size"] == len(content)
    assert 0 < report["verification"]["error"] <= report["verification"]["tolerance"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["model.report.json", "model.tflite"]
    assert recipe in capsys.readouterr().out


def test_same_model_gives_the_same_bytes(classifier, tmp_path):
    folder, _ = classifier
    for name in ("one", "two"):
        assert run("export", folder, "-o", tmp_path / f"{name}.tflite") == 0
    assert (tmp_path / "one.tflite").read_bytes() == (tmp_path / "two.tflite").read_bytes()


def test_lengths_share_one_set_of_weights(tmp_path):
    model = save(tmp_path / "m", hidden_size=128, intermediate_size=256)
    sizes = {}
    for lengths in ("16", "8,16,24,40"):
        path = tmp_path / f"{len(lengths)}.tflite"
        assert run("export", tmp_path / "m", "-o", path, "--lengths", lengths) == 0
        sizes[lengths] = path.stat().st_size
    assert sizes["8,16,24,40"] - sizes["16"] < 0.3 * sizes["16"]  # operators and shapes alone
    runners = Interpreter(model_path=str(path))
    assert sorted(runners.get_signature_list()) == ["length_16", "length_24", "length_40", "length_8"]
    inputs = encoded(model, "a good film")
    used = inputs["token_ids"].shape[1]
    padded = {name: np.pad(value, ((0, 0), (0, 16 - used))) for name, value in inputs.items()}
    padded["padding_mask"] = (np.arange(16)[None] < used).astype("int32")
    got = runners.get_signature_runner("length_16")(**padded)["logits"]
    expected = keras.ops.convert_to_numpy(model(inputs))
    assert np.abs(got - expected).max() <= 0.1 * np.abs(expected).max()


def test_shared_layers_are_stored_once(tmp_path):
    """ALBERT's layers share weights, so its file hardly grows with their number."""
    sizes = []
    for layers in (1, 6):
        folder = tmp_path / str(layers)
        config = {**SIZES, "hidden_size": 128, "intermediate_size": 512, "num_layers": layers}
        save(folder, "albert", embedding_size=16, num_layer_groups=1, **config)
        assert run("export", folder, "-o", tmp_path / f"{layers}.tflite", "--recipe", "float32") == 0
        sizes.append((tmp_path / f"{layers}.tflite").stat().st_size)
    assert sizes[1] < 1.1 * sizes[0]


@pytest.mark.parametrize("family", ["bert", "albert"])
def test_a_large_vocabulary_tied_to_the_decoder_is_stored_once(tmp_path, family):
    config = kb.EncoderConfig(family=family, **{**SIZES, "vocab_size": 20000, "embedding_size": 32})
    model = kb.MaskedLanguageModel(kb.Encoder(config), tokenizer=tiny_tokenizer(tmp_path))
    randomize(model)
    texts = text_features(model)
    layout = plan_layout(model, None, "default", "float32")
    flatbuffer, members = convert(model, RECIPES["dynamic_int8"], layout, texts)
    write_file(tmp_path / "model.tflite", flatbuffer, members)
    assert 20000 * 32 < len(flatbuffer) < 20000 * (32 + 4 + 4 + 12) + 100_000  # weights, bias, scales
    checked = verify(tmp_path / "model.tflite", len(flatbuffer), model, RECIPES["dynamic_int8"], layout, texts)
    assert checked.agreement > 0.8


@pytest.mark.parametrize("task", ["token", "question", "embedding", "masked"])
def test_other_tasks(tmp_path, task):
    model = save(tmp_path / "m", task=task)
    path = tmp_path / "model.tflite"
    options = ["--task", "sentence_embedding"] if task == "embedding" else []
    assert run("export", tmp_path / "m", "-o", path, "--recipe", "float32", *options) == 0
    inputs = encoded(model, TEXTS[2])
    expected = model(inputs)
    got = bare_outputs(path, inputs)
    expected = expected if isinstance(expected, dict) else {next(iter(got)): expected}
    assert sorted(got) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], keras.ops.convert_to_numpy(value), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lengths", "16,64"], "a length of 64 tokens: expected 8 to 40"),
        (["--lengths", "4"], "a length of 4 tokens: expected 8 to 40"),
        (["--profile", "mediapipe", "--lengths", "16,32"], "one signature alone"),
        (["--texts", "missing.txt"], "cannot read missing.txt"),
        (["--task", "token_classification"], "it holds no head"),
    ],
)
def test_refused(classifier, tmp_path, capsys, options, message):
    assert run("export", classifier[0], "-o", tmp_path / "model.tflite", *options) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_output_must_be_a_tflite_file(classifier, tmp_path, capsys):
    assert run("export", classifier[0], "-o", tmp_path / "model.bin") == 2
    assert "expected one that ends in .tflite" in capsys.readouterr().err


def test_a_checkpoint_without_tokenizer_or_head_is_refused(tmp_path, capsys):
    config = kb.EncoderConfig(vocab_size=40, **SIZES)
    kb.SequenceClassifier(kb.Encoder(config)).save_pretrained(tmp_path / "m")
    assert run("export", tmp_path / "m", "-o", tmp_path / "model.tflite") == 2
    assert "has no tokenizer" in capsys.readouterr().err


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model = save(tmp_path / "m")
    kernel = model.encoder.blocks[1].feedforward_in.kernel
    kernel.assign(np.where(np.arange(64) == 3, np.nan, keras.ops.convert_to_numpy(kernel)))
    with pytest.raises(ExportError, match=r"blocks.1.feedforward_in.kernel holds NaN or infinity"):
        convert(model, RECIPES["float32"], plan_layout(model, None, "default", "float32"), [])


def test_what_does_not_fit_float16_is_refused(tmp_path, capsys):
    model = save(tmp_path / "m")
    model.encoder.embeddings.token_table.assign(1e5 * keras.ops.ones_like(model.encoder.embeddings.token_table))
    model.save_pretrained(tmp_path / "m")
    assert run("export", tmp_path / "m", "-o", tmp_path / "model.tflite", "--recipe", "float16") == 2
    assert "does not fit float16" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [({"task": "question"}, "question_answering"), ({"labels": ("a", "b\nc")}, "one label a line")],
)
def test_what_a_file_cannot_hold_is_refused(tmp_path, capsys, change, message):
    save(tmp_path / "m", **change)
    options = ["--profile", "mediapipe"] if "task" in change else []
    assert run("export", tmp_path / "m", "-o", tmp_path / "model.tflite", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "model.tflite").exists()


class TestVerify:
    """A file that is not its model is found out."""

    @pytest.fixture
    def exported(self, classifier, tmp_path):
        model = load_model(classifier[0])
        layout = plan_layout(model, None, "default", "float32")
        features = text_features(model)
        path = tmp_path / "model.tflite"
        flatbuffer, members = convert(model, RECIPES["dynamic_int8"], layout, features)
        write_file(path, flatbuffer, members)
        return model, path, len(flatbuffer), layout, features

    def check(self, exported, recipe="dynamic_int8"):
        model, path, size, layout, features = exported
        return verify(path, size, model, RECIPES[recipe], layout, features)

    def test_the_true_model_passes_on_texts_of_many_lengths(self, exported):
        checked = self.check(exported)
        assert checked.texts > 60
        assert 0 < checked.error < 0.05
        assert checked.agreement > 0.9
        lengths = {features["token_ids"].shape[1] for features in exported[4]}
        assert {3, 40} <= lengths

    def test_another_weight_is_found(self, exported):
        bias = exported[0].encoder.blocks[0].feedforward_out.bias
        bias.assign(bias + 3 * keras.ops.one_hot(5, 32))
        with pytest.raises(ExportError, match="off by"):
            self.check(exported)

    def test_swapped_labels_are_found(self, exported):
        classifier = exported[0].head.classifier
        classifier.kernel.assign(keras.ops.flip(classifier.kernel, axis=1))
        classifier.bias.assign(keras.ops.flip(classifier.bias, axis=0))
        with pytest.raises(ExportError, match="off by"):
            self.check(exported)

    def test_a_size_that_does_not_fit_the_recipe_is_found(self, tmp_path):
        save(tmp_path / "m", hidden_size=256, intermediate_size=512)
        model = load_model(tmp_path / "m")
        flatbuffer, members = convert(model, RECIPES["float16"], Layout({"serving_default": None}), [])
        write_file(tmp_path / "model.tflite", flatbuffer, members)
        with pytest.raises(ExportError, match="weights are missing or doubled"):
            verify(tmp_path / "model.tflite", len(flatbuffer), model, RECIPES["float32"], Layout({"s": None}), [])

    def test_a_file_that_litert_refuses_is_found(self, exported):
        content = bytearray(exported[1].read_bytes())
        content[4:8] = b"TFL9"
        exported[1].write_bytes(content)
        with pytest.raises(ExportError, match="LiteRT does not open"):
            self.check(exported)


def test_the_edge_runner_answers_as_keras(classifier, tmp_path):
    """Where keras-bert-edge is installed: from text to scores without anything of ours but the file."""
    edge = pytest.importorskip("keras_bert_edge")
    folder, model = classifier
    for options in ([], ["--lengths", "16,32"], ["--profile", "mediapipe"]):
        path = tmp_path / "model.tflite"
        assert run("export", folder, "-o", path, "--recipe", "float32", *options) == 0
        runner = edge.load(str(path))
        for text in TEXTS:
            expected = keras.ops.convert_to_numpy(keras.ops.softmax(model(encoded(model, text))))[0]
            assert runner(text).scores == pytest.approx(dict(zip(model.labels, expected, strict=True)), abs=1e-5)
