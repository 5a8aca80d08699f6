"""Training comforts from the command line: seeds, patience, weights, pictures, cards, devices."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from command import run
from harness import values
from keras_bert_tools.finetuning import training

import keras_bert as kb
from keras_bert.checkpoints.card import MARK

FAST = ("--learning-rate", 1e-2, "--batch-size", 16, "--max-length", 24)


def test_a_training_that_learned_nothing_says_so(checkpoint, table, tmp_path, capsys):
    common = ("--train", table, "--dev", table, "--seed", 0)
    assert run("finetune", checkpoint, *common, "--learning-rate", 1e-9, "--epochs", 1, "-o", tmp_path / "idle") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "on the development set is what guessing gives" in said
    assert "nothing was learned; another --learning-rate" in said
    assert run("finetune", checkpoint, *common, *FAST, "--epochs", 10, "-o", tmp_path / "good") == 0
    assert "nothing was learned" not in capsys.readouterr().out


def test_zeros_of_a_pruned_checkpoint_stay(checkpoint, table, tmp_path, capsys):
    pruned = kb.Encoder.from_pretrained(checkpoint)
    kernels = [block.feedforward_in.kernel for block in pruned.blocks]
    generator = np.random.default_rng(0)
    masks = [generator.uniform(size=kernel.shape) < 0.3 for kernel in kernels]
    for kernel, mask in zip(kernels, masks, strict=True):
        kernel.assign(np.where(mask, 0, values(kernel)))
    pruned.save_pretrained(tmp_path / "pruned", tokenizer=kb.Tokenizer.from_pretrained(checkpoint))
    share = sum(mask.sum() for mask in masks) / (len(masks) * (4 * 16 * 16 + 2 * 16 * 32))
    assert run("finetune", tmp_path / "pruned", "--train", table, "--epochs", 1, *FAST, "-o", tmp_path / "out") == 0
    assert f"{share:.1%} of the weights of the layers came as zeros" in " ".join(capsys.readouterr().out.split())
    trained = kb.SequenceClassifier.from_pretrained(tmp_path / "out").encoder
    for block, mask, before in zip(trained.blocks, masks, kernels, strict=True):
        np.testing.assert_array_equal(values(block.feedforward_in.kernel) == 0, mask)
        assert not np.array_equal(values(block.feedforward_in.kernel), values(before))


@pytest.mark.parametrize("seeds", [1, 2])
def test_nothing_is_held_out(checkpoint, table, tmp_path, capsys, seeds):
    out = tmp_path / "out"
    options = ("--epochs", 2, *FAST, "--hold-out", 0, "--seeds", seeds, "--seed", 3)
    assert run("finetune", checkpoint, "--train", table, "--test", table, "-o", out, *options) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["examples"] == {"train": 60, "test": 60}
    assert (report["best_epoch"], report["seed"]) == (2, 3)
    assert list(report["scores"]) == ["test"]
    assert not re.search(r"\bdev\b", (out / "README.md").read_text())
    printed = capsys.readouterr().out
    assert ("last epoch 2 of 2" if seeds == 1 else "test, mean") in printed
    # What is kept is the last epoch.
    assert run("evaluate", out, "--data", table, "--json") == 0
    assert json.loads(capsys.readouterr().out) == report["scores"]["test"]


def test_patience_needs_something_to_judge_by(checkpoint, table, tmp_path, capsys):
    options = ("--hold-out", 0, "--patience", 1, "-o", tmp_path / "out")
    assert run("finetune", checkpoint, "--train", table, *options) == 2
    assert "--patience" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_several_seeds(checkpoint, table, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    options = ("--epochs", 1, *FAST, "--seeds", 2, "--seed", 5, "--plots", "--tensorboard", tmp_path / "logs")
    assert run("finetune", checkpoint, "--train", table, "--test", table, "-o", out, *options) == 0
    report = json.loads((out / "report.json").read_text())
    scores = [report["seeds"][seed]["test"]["accuracy"] for seed in ("5", "6")]
    found = report["summary"]["test"]["accuracy"]
    assert found["mean"] == pytest.approx(sum(scores) / 2)
    assert found["deviation"] == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5)
    dev = {seed: report["seeds"][seed]["dev"]["accuracy"] for seed in ("5", "6")}
    assert dev[str(report["seed"])] == max(dev.values())
    printed = capsys.readouterr().out
    assert "test, mean" in printed
    assert "by class" in printed
    assert {path.name for path in out.iterdir()} >= {"config.json", "confusion.png", "README.md"}
    assert not list(out.glob(".seed-*"))
    assert (out / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "logs" / "seed-5" / "train").glob("events*"))
    # What is kept is what its scores say.
    assert run("evaluate", out, "--data", table, "--json") == 0
    assert json.loads(capsys.readouterr().out) == report["scores"]["test"]
    card = (out / "README.md").read_text()
    assert MARK in card
    assert f"| test (60) | {report['scores']['test']['accuracy']:.4f} |" in card
    assert "pipeline_tag: text-classification" in card
    assert "label_smoothing" not in card
    (out / "README.md").write_text("mine")
    before = (out / "model.safetensors").stat().st_mtime_ns
    assert run("finetune", checkpoint, "--train", table, "--test", table, "-o", out, *options, "--resume") == 0
    assert "this training is finished" in capsys.readouterr().out
    assert (out / "model.safetensors").stat().st_mtime_ns == before
    smoothed = ("--epochs", 1, *FAST, "--seeds", 2, "--label-smoothing", 0.1)
    assert run("finetune", checkpoint, "--train", table, "-o", out, *smoothed) == 0
    assert (out / "README.md").read_text() == "mine"
    (out / "README.md").unlink()
    assert run("finetune", checkpoint, "--train", table, "-o", out, "--epochs", 1, *FAST, "--average", 0.2) == 0
    assert "average" in (out / "README.md").read_text()


def test_float16_scales_its_loss(checkpoint, table, tmp_path):
    """A scale from 2^15 keeps small gradients from becoming zeros, and the model learns."""
    out = tmp_path / "out"
    options = ("--epochs", 25, *FAST, "--learning-rate", 5e-3, "--dropout", 0, "--precision", "mixed_float16")
    scales = []

    class Watch(training.FitProgress):
        def on_train_end(self, logs=None):
            scales.append(float(self.model.optimizer.dynamic_scale))
            super().on_train_end(logs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "FitProgress", Watch)
        assert run("finetune", checkpoint, "--train", table, "--dev", table, "-o", out, *options) == 0
    assert scales[0] > 1
    report = json.loads((out / "report.json").read_text())
    assert report["scores"]["dev"]["accuracy"] > 0.9
    assert np.isfinite(report["history"]["loss"]).all()


def test_patience_smoothing_weights_and_precision(checkpoint, table, tmp_path):
    out = tmp_path / "out"
    options = ("--epochs", 9, "--patience", 1, "--learning-rate", 1e-9, "--label-smoothing", 0.1, "--accumulate", 2)
    more = ("--class-weights", "neg=2", "--precision", "mixed_bfloat16", "--unfreeze", 0.2, "--dropout", 0.3)
    assert run("finetune", checkpoint, "--train", table, "--dev", table, "-o", out, *options, *more) == 0
    report = json.loads((out / "report.json").read_text())
    # Nothing is learned: of equal epochs the later is kept, so patience never runs out; less than that, it does.
    assert len(report["history"]["loss"]) in range(1, 10)
    config = json.loads((out / "config.json").read_text())
    assert config["dtype"] == "float32"
    assert (config["hidden_dropout_prob"], config["attention_probs_dropout_prob"]) == (0.3, 0.3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--class-weights", "good=2"), "no label 'good'; the labels are neg, pos"),
        (("--class-weights", "pos=x"), "expected LABEL=WEIGHT, got 'pos=x'"),
        (("--regression", "--multi-label"), "exclude each other"),
        (("--regression", "--class-weights", "balanced"), "line 2: expected a finite number"),
        (("--accumulate", "99"), "accumulate: expected 1 to the"),
        (("--overlap", "3"), "--overlap goes with --long-texts"),
    ],
)
def test_what_is_refused(checkpoint, table, tmp_path, capsys, arguments, message):
    assert run("finetune", checkpoint, "--train", table, "-o", tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err


# One process for both: half of its time is importing TensorFlow.
MIRRORED = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
import json, keras, numpy as np
import keras_bert as kb
results, checkpoint, table, *command = sys.argv[1:]
plain = {name: 0.0 for name in ("hidden_dropout", "attention_dropout", "classifier_dropout")}
found = []
devices = (strategy, tf.distribute.get_strategy())
for adversarial, device in [(size, device) for size in (0.0, 0.05) for device in devices]:
    keras.utils.set_random_seed(1)
    with device.scope():
        model = kb.SequenceClassifier.from_pretrained(checkpoint, labels=["neg", "pos"], **plain)
        # In one order: how often a dataset is begun, and so the number of its epoch, differs between the two.
        data = kb.data.classification(table, model.tokenizer, batch_size=16, labels=model.labels, shuffle=False)
        steps = {"steps": 2 * len(data), "clip_norm": None}
        optimizer = kb.fine_tuning_optimizer(model, 1e-3, layer_decay=0.9, unfreeze=0.3, **steps)
        model.compile(optimizer, adversarial=adversarial)
    losses = model.fit(data, epochs=2, verbose=0).history["loss"]
    texts = ["the film was good", "bad", "a dull film and poor"]
    assert kb.data.predict_logits(model, texts).shape == (3, 2)
    found.append((losses, keras.ops.convert_to_numpy(model.head.classifier.kernel).tolist()))
with open(results, "w") as file:
    json.dump(found, file)

# The command takes all GPUs of a machine: here two processors stand for them.
tf.distribute.MirroredStrategy = lambda: strategy
from keras_bert_tools import cli
sys.exit(cli.main(["finetune", checkpoint, "--train", table, *command, "--mirrored"]))
"""


@pytest.fixture(scope="module")
def mirrored(checkpoint, table, tmp_path_factory):
    """Folder of what a process with two devices wrote: `fit.json`, and a training by the command in `out`."""
    folder = tmp_path_factory.mktemp("mirrored")
    options = ("--dev", table, "-o", folder / "out", "--epochs", 2, *FAST)
    command = [sys.executable, "-c", MIRRORED, *map(str, (folder / "fit.json", checkpoint, table, *options))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    (folder / "status").write_text(f"{done.returncode} {done.stderr[-3000:]}")
    return folder


def test_fit_under_mirrored_strategy(mirrored):
    """Two devices, each with half of every batch, learn what one learns. (Keras clips gradients on each device before
    they are added up: without clipping the two are the same.)"""
    assert (mirrored / "fit.json").exists(), (mirrored / "status").read_text()
    plain_two, plain_one, adversarial_two, adversarial_one = json.loads((mirrored / "fit.json").read_text())
    assert plain_one[1] != adversarial_one[1]
    for two, one in ((plain_two, plain_one), (adversarial_two, adversarial_one)):
        assert two[0] == pytest.approx(one[0], rel=1e-3)
        for row, expected in zip(two[1], one[1], strict=True):
            assert row == pytest.approx(expected, abs=1e-4)


def test_the_command_under_mirrored_strategy(mirrored):
    status = (mirrored / "status").read_text()
    assert status.startswith("0 "), status
    assert len(json.loads((mirrored / "out" / "report.json").read_text())["history"]["dev_accuracy"]) == 2


def test_long_texts(checkpoint, tmp_path, capsys):
    """What decides stands beyond the model's 48 positions."""
    words, labels = ("bad ", "good "), ("neg", "pos")
    rows = [f"{'the film was very ' * 15}{words[i % 2] * (12 + i % 3)}\t{labels[i % 2]}" for i in range(32)]
    (tmp_path / "t.tsv").write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    data = ("--train", tmp_path / "t.tsv", "--dev", tmp_path / "t.tsv", "-o", tmp_path / "out")
    options = ("--epochs", 10, "--learning-rate", 1e-2, "--batch-size", 8, "--max-length", 24, "--overlap", 4)
    assert run("finetune", checkpoint, *data, *options, "--long-texts", "mean") == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["scores"]["dev"]["accuracy"] == 1.0
    capsys.readouterr()
    assert run("evaluate", tmp_path / "out", "--data", tmp_path / "t.tsv", "--json") == 0
    assert json.loads(capsys.readouterr().out) == report["scores"]["dev"]
    assert run("predict", tmp_path / "out", "the film was very " * 100 + "good " * 80) == 0
    assert capsys.readouterr().out.startswith("pos")
    assert run("export", tmp_path / "out", "-o", tmp_path / "m.tflite") == 2
    assert "reads documents by windows" in capsys.readouterr().err
