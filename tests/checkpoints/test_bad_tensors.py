"""Checkpoints whose tensors are not the model's: each that is missing, left over or misshapen is named."""

from __future__ import annotations

import numpy as np
import pytest
from checkpoint_files import CLASSIFIER, MLM, copy_checkpoint, drop, refuse
from safetensors.numpy import save_file

import keras_bert as kb


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


def test_a_tensor_of_another_file_format(tmp_path):
    """Names alone do not make a checkpoint: an empty tensor file is all missing."""
    copy_checkpoint(MLM, tmp_path)
    save_file({}, tmp_path / "model.safetensors")
    refuse(tmp_path, "missing embeddings.word_embeddings.weight [48, 16]", "more")
