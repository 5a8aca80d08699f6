"""Google's TF1 checkpoints, written here with tf.compat.v1 from the goldens, so that the reference's numbers hold."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from checkpoint_files import tensors_of
from harness import GOLDENS, arrays, values

import keras_bert as kb
from keras_bert.errors import CheckpointError

BERT, ALBERT = "bert/BertForPreTraining", "albert-groups/AlbertForPreTraining"

# Names of `transformers` -> names of google-research/bert and google-research/albert, by substitution.
RENAMES = {
    BERT: [
        (r"encoder\.layer\.(\d+)", r"encoder.layer_\1"),
        (r"^cls\.predictions\.bias", "cls.predictions.output_bias"),
        (r"^cls\.seq_relationship\.weight", "cls.seq_relationship.output_weights"),
        (r"^cls\.seq_relationship\.bias", "cls.seq_relationship.output_bias"),
    ],
    ALBERT: [
        (r"^albert\.", "bert."),
        (r"^(bert\.pooler)\.", r"\1.dense."),
        (
            r"encoder\.albert_layer_groups\.(\d+)\.albert_layers\.(\d+)",
            r"encoder.transformer.group_\1.inner_group_\2",
        ),
        (r"attention\.(query|key|value)", r"attention_1.self.\1"),
        (r"attention\.dense", "attention_1.output.dense"),
        (r"attention\.LayerNorm", "LayerNorm"),
        (r"full_layer_layer_norm", "LayerNorm_1"),
        (r"\.ffn\.", ".ffn_1.intermediate.dense."),
        (r"\.ffn_output\.", ".ffn_1.intermediate.output.dense."),
        (r"^predictions\.bias", "cls.predictions.output_bias"),
        (r"^predictions\.dense", "cls.predictions.transform.dense"),
        (r"^predictions\.LayerNorm", "cls.predictions.transform.LayerNorm"),
        (r"^sop_classifier\.classifier\.weight", "cls.seq_relationship.output_weights"),
        (r"^sop_classifier\.classifier\.bias", "cls.seq_relationship.output_bias"),
    ],
}


def tf1_tensors(name):
    """The golden checkpoint's tensors as Google's code names and lays them out."""
    tensors = {}
    for old, tensor in tensors_of(GOLDENS / name).items():
        new = old
        for pattern, replacement in RENAMES[name]:
            new = re.sub(pattern, replacement, new)
        if "LayerNorm" in new:
            new = new.replace(".weight", ".gamma").replace(".bias", ".beta")
        elif new.endswith("_embeddings.weight"):
            new = new.removesuffix(".weight")
        elif new.endswith(".weight"):
            new, tensor = new.removesuffix(".weight") + ".kernel", tensor.T
        tensors[new.replace(".", "/")] = tensor
    return tensors


def write(folder, tensors, stem="bert_model.ckpt"):
    """Save as a TF1 session does, optimizer slots and step beside the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, tensor in tensors.items():
            tf.compat.v1.get_variable(name, initializer=tensor)
            tf.compat.v1.get_variable(f"{name}/adam_m", initializer=np.zeros_like(tensor))
            tf.compat.v1.get_variable(f"{name}/adam_v", initializer=np.zeros_like(tensor))
        tf.compat.v1.get_variable("global_step", initializer=np.int64(7))
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(folder / stem))
    (folder / "checkpoint").unlink()


def write_golden(name, folder, **changes):
    tensors = {**tf1_tensors(name), **changes}
    stem, config_name = (
        ("bert_model.ckpt", "bert_config.json") if name == BERT else ("model.ckpt-best", "albert_config.json")
    )
    write(folder, {key: value for key, value in tensors.items() if value is not None}, stem)
    config = json.loads((GOLDENS / name / "config.json").read_text())
    for key in ("model_type", "architectures", "layer_norm_eps"):  # Google's files know none of these
        del config[key]
    (folder / config_name).write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return {name: write_golden(name, tmp_path_factory.mktemp("tf1")) for name in (BERT, ALBERT)}


@pytest.mark.parametrize("name", [BERT, ALBERT])
def test_outputs_equal_the_goldens(name, written):
    golden = np.load(GOLDENS / name / "golden.npz")
    inputs = {
        "token_ids": golden["input_ids"].astype("int32"),
        "padding_mask": golden["attention_mask"].astype("int32"),
        "segment_ids": golden["token_type_ids"].astype("int32"),
    }
    mask = golden["attention_mask"] == 1
    model = kb.PretrainingModel.from_pretrained(written[name])
    assert model.new_parts == ()
    outputs = arrays(model(inputs))
    np.testing.assert_allclose(outputs["mlm_logits"][mask], golden["prediction_logits"][mask], rtol=0, atol=2e-5)
    sentence = golden["seq_relationship_logits" if name == BERT else "sop_logits"]
    np.testing.assert_allclose(outputs["sentence_logits"], sentence, rtol=0, atol=2e-5)

    masked_lm = kb.MaskedLanguageModel.from_pretrained(written[name])
    assert masked_lm.new_parts == ()
    np.testing.assert_allclose(
        arrays(masked_lm(inputs))["output"][mask], golden["prediction_logits"][mask], rtol=0, atol=2e-5
    )
    pooled = arrays(kb.Encoder.from_pretrained(written[name])(inputs))["pooled_output"]
    np.testing.assert_allclose(pooled, golden["pooler_output"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", [BERT, ALBERT])
def test_saved_as_hugging_face_the_tensors_are_the_same(name, written, tmp_path):
    kb.PretrainingModel.from_pretrained(written[name]).save_pretrained(tmp_path)
    before, after = tensors_of(GOLDENS / name), tensors_of(tmp_path)
    assert set(before) == set(after)
    for tensor, stored in before.items():
        np.testing.assert_array_equal(after[tensor], stored, err_msg=tensor)


def test_a_fine_tuned_classifier(tmp_path):
    """google-research/bert's run_classifier.py keeps `output_weights` [labels, hidden] outside every scope."""
    weights = np.arange(48, dtype="float32").reshape(3, 16)
    folder = write_golden(BERT, tmp_path, output_weights=weights, output_bias=np.float32([1, 2, 3]))
    model = kb.SequenceClassifier.from_pretrained(folder)
    assert model.new_parts == ()
    assert model.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    np.testing.assert_array_equal(values(model.head.classifier.kernel), weights.T)


def test_a_squad_checkpoint(tmp_path):
    """run_squad.py keeps `cls/squad/output_weights` [2, hidden]."""
    weights = np.arange(32, dtype="float32").reshape(2, 16)
    head = {"cls/squad/output_weights": weights, "cls/squad/output_bias": np.float32([1, 2])}
    model = kb.QuestionAnswerer.from_pretrained(write_golden(BERT, tmp_path, **head))
    assert model.new_parts == ()
    np.testing.assert_array_equal(values(model.head.classifier.kernel), weights.T)
    np.testing.assert_array_equal(values(model.head.classifier.bias), [1, 2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bert/encoder/layer_1/output/dense/kernel": None}, "missing encoder/layer_1/output/dense/kernel [24, 16]"),
        ({"bert/encoder/layer_2/output/dense/bias": np.zeros(16, "f")}, "left over bert/encoder/layer_2/output/dense"),
        ({"bert/pooler/dense/bias": np.zeros(4, "f")}, "bert/pooler/dense/bias has shape [4], expected [16]"),
        ({"bert/embeddings/LayerNorm/beta": np.full(16, np.nan, "f")}, "LayerNorm/beta holds values that are not"),
    ],
)
def test_tensors_that_do_not_fit_are_named(changes, message, tmp_path):
    write_golden(BERT, tmp_path, **changes)
    with pytest.raises(CheckpointError) as caught:
        kb.PretrainingModel.from_pretrained(tmp_path)
    assert message in str(caught.value)


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written[BERT], tmp_path / "model")


def truncate_data(folder):
    data = folder / "bert_model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])


def flip_a_bit(folder):
    """Inside the pooler's kernel, which every model with a head reads."""
    data = folder / "bert_model.ckpt.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    position = bytes(content).index(tf1_tensors(BERT)["bert/pooler/dense/kernel"].tobytes())
    content[position + 5] ^= 0x10
    data.write_bytes(bytes(content))


def truncate_index(folder):
    index = folder / "bert_model.ckpt.index"
    index.write_bytes(index.read_bytes()[:-30])


def lose(name):
    return lambda folder: (folder / name).unlink()


def add_another(folder):
    shutil.copy(folder / "bert_model.ckpt.index", folder / "other.ckpt.index")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate_data, "bert_model.ckpt"),
        (flip_a_bit, "tensor bert/pooler/dense/kernel cannot be read"),
        (truncate_index, "bert_model.ckpt cannot be read"),
        (lose("bert_model.ckpt.data-00000-of-00001"), "bert_model.ckpt"),
        (lose("bert_config.json"), "bert_config.json is missing"),
        (lose("bert_model.ckpt.index"), "holds no checkpoint"),
        (add_another, "expected one checkpoint, found bert_model.ckpt.index, other.ckpt.index"),
    ],
)
def test_broken_files_are_named(damage, message, folder):
    damage(folder)
    with pytest.raises(CheckpointError) as caught:
        kb.PretrainingModel.from_pretrained(folder)
    assert message in str(caught.value)
