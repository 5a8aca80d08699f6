"""`keras-bert convert`: what it writes holds the same tensors as what it read."""

from __future__ import annotations

import functools
import json
import pathlib
import shutil

import command
import pytest
from harness import GOLDENS
from safetensors.numpy import load_file

import keras_bert as kb

CHECKPOINTS = sorted(str(path.parent.relative_to(GOLDENS)) for path in GOLDENS.glob("*/*/model.safetensors"))


convert = functools.partial(command.run, "convert")


def as_architecture(source: pathlib.Path, folder: pathlib.Path, architecture: str) -> pathlib.Path:
    """A copy of a checkpoint that names another class of `transformers`."""
    shutil.copytree(source, folder)
    config = json.loads((source / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": [architecture]}))
    return folder


def tensors(folder: pathlib.Path) -> dict[str, bytes]:
    return {name: tensor.tobytes() for name, tensor in load_file(folder / "model.safetensors").items()}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_everything_is_kept(name, tmp_path, capsys):
    assert convert(GOLDENS / name, tmp_path / "out") == 0
    assert tensors(tmp_path / "out") == tensors(GOLDENS / name)
    assert name.split("/")[0].split("-")[0] in capsys.readouterr().out


def test_the_tokenizer_goes_along(checkpoint, tmp_path, capsys):
    assert convert(checkpoint, tmp_path / "out") == 0
    assert "encoder" in capsys.readouterr().out
    before, after = kb.Tokenizer.from_pretrained(checkpoint), kb.Tokenizer.from_pretrained(tmp_path / "out")
    assert after.vocab == before.vocab


def test_a_sentence_encoder_stays_one(checkpoint, tmp_path):
    model = kb.SentenceEncoder.from_pretrained(checkpoint, pooling="cls", normalize=False)
    model.save_pretrained(tmp_path / "sentences")
    assert convert(tmp_path / "sentences", tmp_path / "out") == 0
    again = kb.SentenceEncoder.from_pretrained(tmp_path / "out")
    assert (again.pooling, again.normalize) == ("cls", False)


def test_one_task_of_several(tmp_path):
    source = GOLDENS / "bert/BertForPreTraining"
    assert convert(source, tmp_path / "masked", "--task", "masked_lm") == 0
    gone = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    gone |= {"cls.seq_relationship.weight", "cls.seq_relationship.bias"}
    assert set(tensors(source)) - set(tensors(tmp_path / "masked")) == gone
    assert convert(source, tmp_path / "encoder", "--task", "encoder") == 0
    assert not any(name.startswith("cls.") for name in tensors(tmp_path / "encoder"))


def test_both_heads_of_a_checkpoint_that_names_one(tmp_path, capsys):
    """As bert-base-uncased on the hub: its class is BertForMaskedLM."""
    source = GOLDENS / "bert/BertForPreTraining"
    assert convert(as_architecture(source, tmp_path / "source", "BertForMaskedLM"), tmp_path / "out") == 0
    assert tensors(tmp_path / "out") == tensors(source)
    assert "left out" not in capsys.readouterr().out


def test_what_is_left_out_is_named(tmp_path, capsys):
    source = GOLDENS / "bert/BertForSequenceClassification"
    assert convert(as_architecture(source, tmp_path / "source", "BertForMultipleChoice"), tmp_path / "out") == 0
    assert "left out, no part of encoder: classifier.bias, classifier.weight" in capsys.readouterr().out


def test_a_vocabulary_beyond_the_embedding(checkpoint, tmp_path, capsys):
    source = shutil.copytree(checkpoint, tmp_path / "source")
    (source / "tokenizer.json").unlink()
    words = (source / "vocab.txt").read_text().splitlines()
    (source / "vocab.txt").write_text("\n".join([*words, "more", "words"]) + "\n")
    assert convert(source, tmp_path / "out") == 2
    assert "the two do not belong together" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_head_that_is_not_there(tmp_path, capsys):
    assert convert(GOLDENS / "bert/BertModel", tmp_path / "out", "--task", "token_classification") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "holds no head for token_classification" in error
    assert not (tmp_path / "out").exists()


def test_nothing_to_read(tmp_path, capsys):
    assert convert(tmp_path / "nowhere", tmp_path / "out") == 2
    assert capsys.readouterr().err.startswith("error: ")
