"""Checkpoints that are refused: one message that names the thing, nothing half-loaded, nothing half-written."""

from __future__ import annotations

import json
import os
import resource

import numpy as np
import pytest
from checkpoint_files import copy_checkpoint, tensors_of
from harness import GOLDENS, TINY
from safetensors.numpy import save_file

import keras_bert as kb
from keras_bert.errors import CheckpointError, KerasBertError, TokenizerError

MLM = "bert/BertForMaskedLM"
CLASSIFIER = "bert/BertForSequenceClassification"


def refuse(path, *messages, task=kb.MaskedLanguageModel):
    with pytest.raises(CheckpointError) as caught:
        task.from_pretrained(path)
    for message in messages:
        assert message in str(caught.value)


# === Files ===


def test_no_directory(tmp_path):
    refuse(tmp_path / "nowhere", "nowhere is not a directory")


def test_empty_directory(tmp_path):
    refuse(tmp_path, "holds no checkpoint")


def test_missing_weights(tmp_path):
    copy_checkpoint(MLM, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    refuse(tmp_path, "model.safetensors is missing")


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_truncated_weights(kept, tmp_path):
    file = copy_checkpoint(MLM, tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    refuse(tmp_path, "model.safetensors is not a readable safetensors file")


@pytest.mark.parametrize("position", [0, 3, 8, 9, 20])
def test_corrupted_header(position, tmp_path):
    file = copy_checkpoint(MLM, tmp_path) / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[position] ^= 0xFF
    file.write_bytes(bytes(content))
    refuse(tmp_path, "model.safetensors is not a readable safetensors file")


def test_pickles_are_not_opened(tmp_path):
    copy_checkpoint(MLM, tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    refuse(tmp_path, "pytorch_model.bin is a pickle", "BertForMaskedLM.from_pretrained(...).save_pretrained")
    (tmp_path / "pytorch_model.bin").rename(tmp_path / "pytorch_model.bin.index.json")
    refuse(tmp_path, "pytorch_model.bin.index.json is a pickle, or names some")


def test_a_tensor_in_two_shards(tmp_path):
    write_index(copy_checkpoint(MLM, tmp_path), {"a": "model-1.safetensors", "b": "model-2.safetensors"})
    save_file({"bert.embeddings.LayerNorm.bias": np.zeros(16, "f")}, tmp_path / "model-2.safetensors")
    refuse(tmp_path, "model-1.safetensors and model-2.safetensors both hold bert.embeddings.LayerNorm.bias")


def test_a_number_format_that_numpy_has_not(tmp_path):
    name = "bert.embeddings.LayerNorm.bias"
    file = copy_checkpoint(MLM, tmp_path) / "model.safetensors"
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    start, end = header[name]["data_offsets"]
    header[name].update(dtype="F8_E4M3", shape=[end - start])
    written = json.dumps(header).encode()
    file.write_bytes(len(written).to_bytes(8, "little") + written + content[8 + size :])
    refuse(tmp_path, name)


def write_index(folder, weight_map):
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": "model-1.safetensors", "b": "model-2.safetensors"}, "model-2.safetensors is missing"),
        ({"a": "../outside.safetensors"}, "outside the checkpoint"),
        ({}, "expected a weight_map"),
        ("model-1.safetensors", "expected a weight_map"),
        ({"a": ["model-1.safetensors"]}, "expected a weight_map"),
    ],
)
def test_shards_that_cannot_be_found(weight_map, message, tmp_path):
    write_index(copy_checkpoint(MLM, tmp_path), weight_map)
    refuse(tmp_path, message)


def test_tensor_of_the_index_that_no_shard_holds(tmp_path):
    names = [*tensors_of(GOLDENS / MLM), "bert.encoder.layer.9.output.dense.weight"]
    write_index(copy_checkpoint(MLM, tmp_path), dict.fromkeys(names, "model-1.safetensors"))
    refuse(tmp_path, "no shard holds bert.encoder.layer.9.output.dense.weight", "index.json names")


# === Configurations ===


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b'"bert"', b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_configuration_that_is_no_json_object(content, tmp_path):
    copy_checkpoint(MLM, tmp_path)
    (tmp_path / "config.json").write_bytes(content)
    refuse(tmp_path, "config.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2' is not supported: expected one of bert, distilbert"),
        ({"model_type": ["bert"]}, "model_type ['bert'] is not supported"),
        ({"model_type": ..., "hidden_size": ...}, "model_type None is not supported"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"is_decoder": True}, "is_decoder is True"),
        ({"hidden_act": "swish"}, "activation"),
        ({"hidden_act": ["gelu"]}, "config.json"),
        ({"hidden_size": "16"}, "hidden_size"),
        ({"hidden_size": 16.5}, "hidden_size"),
        ({"num_attention_heads": 3}, "hidden_size: expected a multiple of 3 heads"),
        ({"num_hidden_layers": 0}, "num_layers"),
        ({"pad_token_id": 48}, "pad_token_id"),
        ({"layer_norm_eps": "small"}, "layer_norm_epsilon"),
        ({"model_type": "roberta", "max_position_embeddings": "many"}, "config.json"),
    ],
)
def test_configurations_of_another_network(change, message, tmp_path):
    refuse(copy_checkpoint(MLM, tmp_path, **change), message)


@pytest.mark.parametrize("family", ["distilbert", "roberta", "albert"])
def test_tensors_of_another_family(family, tmp_path):
    """The configuration says one family, the file holds another."""
    config = json.loads((GOLDENS / MLM / "config.json").read_text())
    config.update(model_type=family, architectures=None)
    copy_checkpoint(MLM, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    refuse(tmp_path, f"does not fit a {family} model", "missing")


def test_an_architecture_of_another_family(tmp_path):
    """The encoders of BERT and RoBERTa have tensors of the same names and shapes, and other positions."""
    copy_checkpoint("bert/BertModel", tmp_path, architectures=["RobertaModel"])
    refuse(tmp_path, "model_type is 'bert', and the architecture RobertaModel is one of roberta", task=kb.Encoder)


def test_fewer_positions_than_the_table(tmp_path):
    refuse(
        copy_checkpoint(MLM, tmp_path, max_position_embeddings=20),
        "bert.embeddings.position_embeddings.weight has shape [24, 16], expected [20, 16]",
    )


def test_vocabulary_of_another_size(tmp_path):
    refuse(
        copy_checkpoint(MLM, tmp_path, vocab_size=50),
        "bert.embeddings.word_embeddings.weight has shape [48, 16], expected [50, 16]",
        "cls.predictions.bias has shape [48], expected [50]",
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"0": "a", "1": "b"}, "id2label names 2 labels"),
        ({"0": "a", "1": "b", "7": "c"}, "id2label names 3 labels, expected ids 0 to 2"),
        (["a", "b", "c"], "id2label"),
        ({"0": "a", "1": "b", "2": "c", "3": "d"}, "id2label names 4 labels"),
    ],
)
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_labels_that_are_not_the_heads(family, labels, message, tmp_path):
    name = {"bert": CLASSIFIER, "roberta": "roberta/RobertaForSequenceClassification"}[family]
    refuse(copy_checkpoint(name, tmp_path, id2label=labels), message, task=kb.SequenceClassifier)


def test_other_labels_than_the_checkpoints():
    with pytest.raises(CheckpointError, match=r"classifier.bias has shape \[3\], expected \[2\] \(new_head=True"):
        kb.SequenceClassifier.from_pretrained(GOLDENS / CLASSIFIER, labels=["a", "b"])


# === Tensors ===


def drop(*names):
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if name not in names}


def test_missing_tensors_are_named(tmp_path):
    one, other = "bert.encoder.layer.1.output.dense.bias", "cls.predictions.transform.LayerNorm.weight"
    refuse(
        copy_checkpoint(MLM, tmp_path, drop(one, other)),
        "missing encoder.layer.1.output.dense.bias [16]",
        f"missing {other} [16]",
    )


def test_left_over_tensors_are_named(tmp_path):
    extra = {"bert.encoder.layer.2.output.dense.bias": np.zeros(16, "float32"), "step": np.zeros(1, "float32")}
    refuse(
        copy_checkpoint(MLM, tmp_path, lambda tensors: {**tensors, **extra}),
        "left over bert.encoder.layer.2.output.dense.bias [16]",
        "left over step [1]",
    )


def test_misshapen_tensors_are_named(tmp_path):
    def transpose(tensors):
        name = "bert.encoder.layer.0.intermediate.dense.weight"
        return {**tensors, name: np.ascontiguousarray(tensors[name].T)}

    refuse(copy_checkpoint(MLM, tmp_path, transpose), "intermediate.dense.weight has shape [16, 24], expected [24, 16]")


def test_names_with_and_without_prefix(tmp_path):
    name = "bert.embeddings.LayerNorm.weight"
    refuse(
        copy_checkpoint(MLM, tmp_path, lambda t: {**t, name.removeprefix("bert."): t[name]}),
        "some tensors are there twice",
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value, tmp_path):
    def spoil(tensors):
        tensors["bert.encoder.layer.0.output.dense.weight"][3, 4] = value
        return tensors

    refuse(copy_checkpoint(MLM, tmp_path, spoil), "bert.encoder.layer.0.output.dense.weight holds values")


def test_whole_numbers_where_weights_belong(tmp_path):
    name = "bert.embeddings.LayerNorm.weight"
    refuse(copy_checkpoint(MLM, tmp_path, lambda t: {**t, name: np.ones(16, "int8")}), f"{name} holds int8")


def untie(tensors):
    decoder = tensors["bert.embeddings.word_embeddings.weight"].copy()
    decoder[0, 0] += 1
    return {**tensors, "cls.predictions.decoder.weight": decoder}


def test_a_decoder_of_its_own(tmp_path):
    copy_checkpoint(MLM, tmp_path, untie)
    refuse(tmp_path, "cls.predictions.decoder.weight differs from bert.embeddings.word_embeddings.weight", "tied")
    kb.Encoder.from_pretrained(tmp_path)  # which does not read it


def test_part_of_a_head(tmp_path):
    refuse(
        copy_checkpoint(CLASSIFIER, tmp_path, drop("classifier.bias")),
        "missing classifier.bias",
        task=kb.SequenceClassifier,
    )


# === Tokenizers ===


@pytest.mark.parametrize("words", [5, 49])
def test_vocabulary_that_disagrees_with_the_embedding(words, tmp_path):
    copy_checkpoint(MLM, tmp_path)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (tmp_path / "vocab.txt").write_text("\n".join([*special, *(f"word{i}" for i in range(words - 5))]) + "\n")
    if words <= 48:
        assert kb.MaskedLanguageModel.from_pretrained(tmp_path).tokenizer.vocab_size == words
        return
    with pytest.raises(TokenizerError, match="48 rows"):
        kb.MaskedLanguageModel.from_pretrained(tmp_path)


# === Saving ===


@pytest.fixture
def small_files():
    """A disk that is full after 8 kB of a file, as the operating system can pretend."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing(tmp_path, small_files):
    model = kb.Encoder(TINY["bert"])
    with pytest.raises(KerasBertError, match=r"model\.safetensors"):
        model.save_pretrained(tmp_path / "new")
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, request):
    copy_checkpoint("bert/BertModel", tmp_path / "model")
    before = {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()}
    request.getfixturevalue("small_files")
    with pytest.raises(KerasBertError):
        kb.Encoder(TINY["bert"]).save_pretrained(tmp_path / "model")
    assert {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()} == before
    assert os.listdir(tmp_path) == ["model"]


def test_saving_over_a_checkpoint_that_is_open(tmp_path):
    """Loading may map the file; saving in its place must not cut it short under the reader."""
    copy_checkpoint(MLM, tmp_path)
    model = kb.MaskedLanguageModel.from_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    assert set(tensors_of(tmp_path)) == set(tensors_of(GOLDENS / MLM))


def test_saving_onto_a_file(tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(KerasBertError, match="it is a file"):
        kb.Encoder(TINY["bert"]).save_pretrained(tmp_path / "model")
    assert (tmp_path / "model").read_text() == "mine"


def test_other_files_stay(tmp_path):
    (tmp_path / "report.json").write_text("{}")
    kb.Encoder(TINY["bert"]).save_pretrained(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors", "report.json"]


def test_a_tensor_of_another_file_format(tmp_path):
    """Names alone do not make a checkpoint: an empty tensor file is all missing."""
    copy_checkpoint(MLM, tmp_path)
    save_file({}, tmp_path / "model.safetensors")
    refuse(tmp_path, "missing embeddings.word_embeddings.weight [48, 16]", "more")


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("distilbert", {"layer_norm_epsilon": 1e-5}, "no place for layer_norm_epsilon 1e-05 (would be read as 1e-12)"),
        ("bert", {"position_offset": 2}, "position_offset 2 (would be read as 0)"),
        ("bert", {"num_layer_groups": 1}, "num_layer_groups 1 (would be read as None)"),
        ("roberta", {"position_offset": 0}, "position_offset 0 (would be read as 2)"),
    ],
)
def test_a_configuration_that_would_change_is_not_saved(family, changes, message, tmp_path):
    encoder = kb.Encoder(TINY[family].replace(**changes))
    with pytest.raises(CheckpointError) as caught:
        encoder.save_pretrained(tmp_path / "lost")
    assert message in str(caught.value)
    assert not (tmp_path / "lost").exists()


# === Sentence encoders ===


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", '[{"type": "sentence_transformers.models.Dense"}]', "the module Dense is not supported"),
        ("modules.json", '{"type": "x"}', "expected a JSON list, got dict"),
        ("modules.json", '["x"]', "expected a list of modules"),
        ("1_Pooling/config.json", '{"pooling_mode": ["mean"]}', "expected mean or cls pooling"),
        ("1_Pooling/config.json", '{"pooling_mode_max_tokens": true}', "expected mean or cls pooling"),
    ],
)
def test_other_ways_to_a_vector_are_refused(file, content, message, tmp_path):
    kb.SentenceEncoder.from_pretrained(GOLDENS / "bert/BertModel").save_pretrained(tmp_path)
    (tmp_path / file).write_text(content)
    refuse(tmp_path, message, task=kb.SentenceEncoder)


def test_another_model_over_a_sentence_encoder_is_none(tmp_path):
    kb.SentenceEncoder.from_pretrained(GOLDENS / "bert/BertModel").save_pretrained(tmp_path)
    kb.Encoder.from_pretrained(GOLDENS / "bert/BertModel").save_pretrained(tmp_path)
    assert not (tmp_path / "modules.json").exists()
    assert not (tmp_path / "1_Pooling" / "config.json").exists()


def test_weights_without_a_name_are_not_dropped(tmp_path):
    """BERT's checkpoints know no embedding projection."""
    encoder = kb.Encoder(TINY["bert"].replace(embedding_size=8))
    with pytest.raises(CheckpointError, match=r"family bert have no name for .*projection/kernel"):
        encoder.save_pretrained(tmp_path / "lost")
    assert not (tmp_path / "lost").exists()
