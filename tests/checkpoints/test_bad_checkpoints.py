"""Checkpoints that are refused: one message that names the thing, nothing half-loaded, nothing half-written."""

from __future__ import annotations

import json

import numpy as np
import pytest
from checkpoint_files import CLASSIFIER, MLM, copy_checkpoint, refuse, tensors_of
from harness import GOLDENS
from safetensors.numpy import save_file

import keras_bert as kb
from keras_bert.errors import CheckpointError, TokenizerError

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
