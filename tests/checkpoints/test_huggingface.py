"""Hugging Face directories both ways: the same tensors bit for bit, and every spelling that is out there."""

from __future__ import annotations

import json
import pathlib
import shutil

import ml_dtypes
import numpy as np
import pytest
from checkpoint_files import HEADS, copy_checkpoint, tensors_of
from harness import GOLDENS, TINY, assert_same, features, randomize, values
from safetensors.numpy import load_file, save_file

import keras_bert as kb

CHECKPOINTS = sorted(str(path.parent.relative_to(GOLDENS)) for path in GOLDENS.rglob("model.safetensors"))


def task_of(name: str):
    return next((task for ending, task in HEADS.items() if name.endswith(ending)), kb.Encoder)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_loading_then_saving_gives_the_same_tensors(name, tmp_path):
    model = task_of(name).from_pretrained(GOLDENS / name)
    model.save_pretrained(tmp_path / "again")
    before, after = tensors_of(GOLDENS / name), tensors_of(tmp_path / "again")
    assert set(after) == set(before)
    for tensor, stored in before.items():
        assert after[tensor].dtype == stored.dtype
        assert after[tensor].tobytes() == stored.tobytes(), tensor


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_loading_then_saving_gives_the_same_configuration(name, tmp_path):
    model = task_of(name).from_pretrained(GOLDENS / name)
    model.save_pretrained(tmp_path)
    before, after = (json.loads((path / "config.json").read_text()) for path in (GOLDENS / name, tmp_path))
    for key, value in after.items():
        # A rate left at null stands for the hidden dropout, which is written out.
        if key != "classifier_dropout":
            assert before.get(key, value) == value, key
    assert {"architectures", "model_type", "vocab_size"} <= set(after)


@pytest.mark.parametrize("family", TINY)
def test_new_models_survive_the_trip(family, tmp_path):
    """Weights made here, saved and loaded, the labels with them."""
    config = TINY[family]
    pooler = config.family in ("bert", "albert")
    model = kb.SequenceClassifier(kb.Encoder(config.replace(pooler=pooler)), ["no", "yes", "maybe"])
    randomize(model)
    model.save_pretrained(tmp_path)
    again = kb.SequenceClassifier.from_pretrained(tmp_path)
    assert again.labels == ("no", "yes", "maybe")
    assert again.config == model.config
    assert again.new_parts == ()
    assert_same(again(features(config)), model(features(config)))


def test_saved_weights_are_shared_once(tmp_path):
    """ALBERT's file grows with its groups, not with its layers."""
    sizes = {}
    for layers in (2, 12):
        encoder = kb.Encoder(TINY["albert"].replace(num_layers=layers))
        encoder.save_pretrained(tmp_path / str(layers))
        sizes[layers] = (tmp_path / str(layers) / "model.safetensors").stat().st_size
    assert sizes[2] == sizes[12]


# === Spellings ===


@pytest.mark.parametrize("name", ["bert/BertForMaskedLM", "roberta/RobertaForMaskedLM", "albert/AlbertForPreTraining"])
def test_names_without_the_prefix(name, tmp_path):
    prefix = name.split("/")[0] + "."
    copy_checkpoint(name, tmp_path, lambda tensors: {n.removeprefix(prefix): t for n, t in tensors.items()})
    encoder = kb.Encoder.from_pretrained(tmp_path)
    inputs = features(encoder.config)
    assert_same(encoder(inputs), kb.Encoder.from_pretrained(GOLDENS / name)(inputs))


def test_old_norm_names(tmp_path):
    def spell_as_before(tensors):
        changes = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        renamed = {}
        for name, tensor in tensors.items():
            for new, old in changes.items():
                name = name.replace(new, old)
            renamed[name] = tensor
        assert set(renamed) != set(tensors)
        return renamed

    name = "bert/BertForPreTraining"
    copy_checkpoint(name, tmp_path, spell_as_before)
    inputs = features(kb.Encoder.from_pretrained(tmp_path).config)
    model = kb.PretrainingModel.from_pretrained(tmp_path)
    assert_same(model(inputs), kb.PretrainingModel.from_pretrained(GOLDENS / name)(inputs))


def test_position_buffers_are_no_weights(tmp_path):
    buffer = {"bert.embeddings.position_ids": np.arange(24, dtype="int64")[None]}
    copy_checkpoint("bert/BertModel", tmp_path, lambda tensors: {**tensors, **buffer})
    kb.Encoder.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("name", "decoder", "table", "bias"),
    [
        ("bert/BertForMaskedLM", "cls.predictions.decoder", "bert.embeddings.word_embeddings", "cls.predictions.bias"),
        (
            "distilbert/DistilBertForMaskedLM",
            "vocab_projector",
            "distilbert.embeddings.word_embeddings",
            "vocab_projector.bias",
        ),
        ("roberta/RobertaForMaskedLM", "lm_head.decoder", "roberta.embeddings.word_embeddings", "lm_head.bias"),
        ("albert/AlbertForPreTraining", "predictions.decoder", "albert.embeddings.word_embeddings", "predictions.bias"),
    ],
)
def test_second_copies_of_the_decoder(name, decoder, table, bias, tmp_path):
    def copies(tensors):
        return {**tensors, f"{decoder}.weight": tensors[f"{table}.weight"], f"{decoder}.bias": tensors[bias]}

    copy_checkpoint(name, tmp_path, copies)
    inputs = features(kb.Encoder.from_pretrained(tmp_path).config)
    task = task_of(name)
    assert_same(task.from_pretrained(tmp_path)(inputs), task.from_pretrained(GOLDENS / name)(inputs))


def write_shards(name: str, folder: pathlib.Path, shards: int) -> dict[str, str]:
    """The checkpoint's tensors dealt out to several files with an index, as `transformers` does."""
    tensors = load_file(GOLDENS / name / "model.safetensors")
    shutil.copy(GOLDENS / name / "config.json", folder)
    weight_map = {
        tensor: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, tensor in enumerate(sorted(tensors))
    }
    for file in set(weight_map.values()):
        save_file({n: tensors[n] for n, f in weight_map.items() if f == file}, folder / file)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return weight_map


def test_shards(tmp_path):
    write_shards("bert/BertForMaskedLM", tmp_path, 3)
    model = kb.MaskedLanguageModel.from_pretrained(tmp_path)
    inputs = features(model.config)
    assert_same(model(inputs), kb.MaskedLanguageModel.from_pretrained(GOLDENS / "bert/BertForMaskedLM")(inputs))


@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16, "float64"])
def test_other_precisions_are_read_as_float32(dtype, tmp_path):
    copy_checkpoint("bert/BertModel", tmp_path, lambda tensors: {n: t.astype(dtype) for n, t in tensors.items()})
    encoder = kb.Encoder.from_pretrained(tmp_path)
    table = load_file(GOLDENS / "bert/BertModel/model.safetensors")["embeddings.word_embeddings.weight"]
    expected = table.astype(dtype).astype("float32")
    np.testing.assert_array_equal(values(encoder.embeddings.token_table), expected)


# === Heads ===


def test_a_head_of_another_task_starts_new():
    model = kb.TokenClassifier.from_pretrained(GOLDENS / "bert/BertForQuestionAnswering", labels=["O", "B-X", "I-X"])
    assert model.new_parts == ("head",)
    kernel = values(model.head.classifier.kernel)
    assert kernel.shape == (16, 3)
    assert kernel.any()
    assert not values(model.head.classifier.bias).any()


# One checkpoint of every head of every family.
SOURCES = {name.split("/")[1]: name for name in CHECKPOINTS if "For" in name and "-relu" not in name}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("task", HEADS.values(), ids=lambda task: task.__name__)
def test_every_task_starts_from_every_head(source, task):
    """Heads of different tasks share tensor names in some families; each is recognised by the class it is of."""
    model = task.from_pretrained(GOLDENS / SOURCES[source])
    same = task_of(source) is task
    language = {task_of(source), task} <= {kb.MaskedLanguageModel, kb.PretrainingModel}
    assert ("head" in model.new_parts) == (not same and not language)


def test_the_checkpoints_head_can_be_left():
    model = kb.SequenceClassifier.from_pretrained(
        GOLDENS / "bert/BertForSequenceClassification", labels=["a", "b"], new_head=True
    )
    assert model.new_parts == ("head",)
    assert model.labels == ("a", "b")


def test_a_missing_pooler_starts_new():
    assert kb.SequenceClassifier.from_pretrained(GOLDENS / "bert/BertForMaskedLM").new_parts == (
        "encoder.pooler",
        "head",
    )
    assert kb.Encoder.from_pretrained(GOLDENS / "bert/BertForMaskedLM").pooler is None
    encoder = kb.Encoder.from_pretrained(GOLDENS / "bert/BertForMaskedLM", pooler=True)
    assert values(encoder.pooler.kernel).any()


def test_fields_of_the_configuration_can_be_changed():
    encoder = kb.Encoder.from_pretrained(GOLDENS / "bert/BertModel", hidden_dropout=0.3, dtype="mixed_bfloat16")
    assert encoder.config.hidden_dropout == 0.3
    assert encoder.compute_dtype == "bfloat16" or encoder.blocks[0].compute_dtype == "bfloat16"
    assert encoder.embeddings.token_table.dtype == "float32"
