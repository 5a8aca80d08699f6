"""A fine-tuning that was cut short goes on from the command line."""

import json
import shutil

import keras
import pytest
from command import run
from keras_bert_tools.finetuning import training


class PowerCutError(Exception):
    """Stands for a power cut."""


RESUMED = (
    *("--epochs", 3, "--learning-rate", 1e-2, "--batch-size", 16, "--max-length", 24),
    *("--layer-decay", 0.9, "--average", 0.3, "--adversarial", 0.02, "--adversarial-after", 0.3),
)


@pytest.fixture(scope="module")
def cut(checkpoint, table, tmp_path_factory):
    """The folder of a training that a power cut ended in its third epoch; copy it."""
    out = tmp_path_factory.mktemp("cut") / "out"

    class PowerCut(training.FitProgress):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise PowerCutError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "FitProgress", PowerCut)
        with pytest.raises(PowerCutError):
            run("finetune", checkpoint, "--train", table, *RESUMED, "-o", out)
    return out


def test_a_resumed_run_is_the_uninterrupted_one(checkpoint, table, cut, tmp_path):
    assert run("finetune", checkpoint, "--train", table, *RESUMED, "-o", tmp_path / "whole") == 0
    shutil.copytree(cut, tmp_path / "cut")
    assert (tmp_path / "cut" / ".training" / "epoch-2.weights.h5").exists()
    assert not (tmp_path / "cut" / "report.json").exists()
    assert run("finetune", checkpoint, "--train", table, *RESUMED, "-o", tmp_path / "cut", "--resume") == 0
    reports = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("whole", "cut")]
    assert reports[0]["history"] == reports[1]["history"]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]
    assert not (tmp_path / "cut" / ".training").exists()


def test_another_training_is_not_resumed(checkpoint, table, cut, tmp_path, capsys):
    out = shutil.copytree(cut, tmp_path / "cut")
    options = ("--train", table, *RESUMED, "--average", 0, "-o", out, "--resume")
    assert run("finetune", checkpoint, *options) == 2
    assert "is of a training with other settings (average)" in capsys.readouterr().err


def test_weights_of_another_network_are_not_resumed(checkpoint, table, cut, tmp_path, capsys):
    """As an older version of the library may have left them."""
    out = shutil.copytree(cut, tmp_path / "cut")
    (weights,) = (out / ".training").glob("*.weights.h5")
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(weights)
    assert run("finetune", checkpoint, "--train", table, *RESUMED, "-o", out, "--resume") == 2
    assert "cannot be resumed from" in capsys.readouterr().err
