"""Writing a checkpoint: whole or not at all, and nothing that its format cannot say."""

from __future__ import annotations

import os
import resource

import pytest
from checkpoint_files import MLM, copy_checkpoint, tensors_of
from harness import GOLDENS, TINY

import keras_bert as kb
from keras_bert.errors import CheckpointError, KerasBertError


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


def test_weights_without_a_name_are_not_dropped(tmp_path):
    """BERT's checkpoints know no embedding projection."""
    encoder = kb.Encoder(TINY["bert"].replace(embedding_size=8))
    with pytest.raises(CheckpointError, match=r"family bert have no name for .*projection/kernel"):
        encoder.save_pretrained(tmp_path / "lost")
    assert not (tmp_path / "lost").exists()
