"""Distillation in the pretraining loop: the loss against NumPy, the student's start, going on, what is refused."""

import json
import shutil
import types

import numpy as np
import pytest
from harness import TINY, arrays, assert_same, features, values
from tiny_shards import save_teacher, write_shards

import keras_bert as kb
from keras_bert.errors import ConfigError
from keras_bert.models.structure import as_distilbert
from keras_bert.training.loop import train
from keras_bert.training.run import prepare
from keras_bert.training.run_config import RunConfig
from keras_bert.training.step import RESULTS
from keras_bert.training.strategies import make_distribution

pytestmark = pytest.mark.tensorflow_only

WEIGHTS = {"soft": 5.0, "masked": 2.0, "cosine": 1.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    write_shards(folder / "shards")
    save_teacher(folder / "teacher")
    return folder


def make_config(folder, **changes):
    sections = {
        "model": {"encoder": {"hidden_dropout": 0.0, "attention_dropout": 0.0}},
        "data": {"folder": str(folder / "shards"), "lanes": 4},
        "examples": {"sequence_length": 32, "objective": "mlm", "max_predictions": 5},
        "training": {"steps": 4, "batch_size": 8, "jit_compile": False, "micro_batch_size": 4},
        "optimizer": {"learning_rate": 1e-3},
        "distillation": {"teacher": str(folder / "teacher"), "layers": 2},
        "checkpoint": {"every": 2},
        "logging": {"every": 1, "tensorboard": False},
    }
    for name, content in changes.items():
        sections[name] = {**sections.get(name, {}), **content}
    return RunConfig.from_dict(sections)


def start(config, work_dir):
    return prepare(config, work_dir, make_distribution("one_device"))


def softmax(x):
    exponentials = np.exp(x.astype("float64") - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def outputs_of(model, batch):
    """Logits at the masked places and last hidden states, from the model as a user calls it."""
    inputs = {name: batch[name] for name in ("token_ids", "padding_mask", "segment_ids")}
    hidden = arrays(model.encoder(inputs))["sequence_output"]
    logits = arrays(model(inputs))["output"]
    return np.take_along_axis(logits, batch["masked_positions"][..., None], axis=1), hidden


@pytest.fixture(scope="module")
def whole(folder):
    """A run that was never stopped, with its start and what its first step said."""
    run = start(make_config(folder), folder / "whole")
    started = [values(variable) for variable in run.step.trainable]
    batch = next(run.data.dataset(batch_size=8, lanes=4).as_numpy_iterator())
    student = outputs_of(run.model, batch)
    train(run)
    return types.SimpleNamespace(run=run, batch=batch, student=student, started=started)


def test_the_loss_of_a_step_is_that_of_numpy(whole, folder):
    """Over a global batch of two micro-batches; KL and cross entropy at masked places, cosine at all tokens."""
    batch = whole.batch
    teacher_logits, teacher_hidden = outputs_of(kb.MaskedLanguageModel.from_pretrained(folder / "teacher"), batch)
    student_logits, student_hidden = whole.student
    weights, mask = batch["masked_weights"].astype("float64"), batch["padding_mask"].astype("float64")
    own, other = softmax(student_logits / 2), softmax(teacher_logits / 2)
    soft = 4 * ((other * np.log(other / own)).sum(-1) * weights).sum() / (weights.sum() + 1e-5)
    chosen = np.take_along_axis(softmax(student_logits), batch["masked_targets"][..., None], axis=-1)[..., 0]
    masked = -(np.log(chosen) * weights).sum() / (weights.sum() + 1e-5)
    student, teacher = (x.astype("float64") for x in (student_hidden, teacher_hidden))
    angle = (student * teacher).sum(-1) / np.sqrt((student**2).sum(-1) * (teacher**2).sum(-1))
    cosine = ((1 - angle) * mask).sum() / (mask.sum() + 1e-5)
    record = json.loads((whole.run.work_dir.path / "metrics.jsonl").read_text().splitlines()[0])
    assert record["soft_loss"] == pytest.approx(soft, rel=1e-6, abs=1e-6)
    assert record["mlm_loss"] == pytest.approx(masked, rel=1e-6, abs=1e-6)
    assert record["cosine_loss"] == pytest.approx(cosine, rel=1e-6, abs=1e-6)
    assert record["loss"] == pytest.approx(5 * soft + 2 * masked + cosine, rel=1e-6)
    assert min(soft, masked, cosine) > 0.01


def test_the_student_starts_from_layers_of_the_teacher(whole, folder):
    teacher = kb.MaskedLanguageModel.from_pretrained(folder / "teacher")
    kept = [teacher.encoder.blocks[0], teacher.encoder.blocks[3]]
    parts = [teacher.encoder.embeddings, *kept, teacher.head]
    expected = [values(variable) for part in parts for variable in part.trainable_variables]
    for found, value in zip(whole.started, expected, strict=True):
        np.testing.assert_array_equal(found, value)


def test_a_distilbert_of_all_layers_is_its_teacher(folder):
    """On texts of one segment, whose row of the segment table the position table takes in."""
    teacher = kb.MaskedLanguageModel.from_pretrained(folder / "teacher")
    student = as_distilbert(teacher)
    assert (student.config.family, student.config.num_segments) == ("distilbert", 0)
    inputs = features(teacher.config)
    inputs.pop("segment_ids")
    assert_same(student(inputs), teacher(inputs), 1e-5)
    with pytest.raises(ConfigError, match="made of a model of the family bert, got roberta"):
        as_distilbert(kb.Encoder(TINY["roberta"]))


def test_a_stopped_run_goes_on_as_if_it_had_not_been(whole, folder):
    work_dir = shutil.copytree(whole.run.work_dir.path, folder / "stopped")
    shutil.rmtree(work_dir / "checkpoints" / "step-00000004")
    (work_dir / "model.safetensors").unlink()
    run = start(make_config(folder), work_dir)
    assert run.progress.step == 2
    train(run)
    losses = [
        [json.loads(line)["loss"] for line in (path / "metrics.jsonl").read_text().splitlines()]
        for path in (whole.run.work_dir.path, work_dir)
    ]
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0]
    found, expected = (kb.MaskedLanguageModel.from_pretrained(path) for path in (work_dir, whole.run.work_dir.path))
    for variable, value in zip(found.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(values(variable), values(value))


def test_a_packed_distilbert_without_the_cosine(folder):
    """The teacher sees the same texts side by side; hidden states of no use are not computed."""
    config = make_config(
        folder,
        distillation={"family": "distilbert", "cosine": 0.0},
        examples={"pack": True, "cross_documents": False},
    )
    run = start(config, folder / "packed")
    assert not run.step.network.hidden
    batch = next(run.data.dataset(batch_size=8, lanes=4).as_numpy_iterator())
    first = dict(zip(RESULTS, run.step.run([batch], 0)[0].tolist(), strict=True))
    assert first["soft_loss"] > 0.01
    assert first["cosine_loss"] == 0.0
    assert run.step.objective.weights == (2.0, 0.0, 5.0, 0.0)


def test_what_cannot_be_taught_is_refused(folder):
    def refused(message, **changes):
        with pytest.raises(ConfigError, match=message):
            start(make_config(folder, **changes), folder / "refused")
        assert not (folder / "refused").exists()

    refused("distillation.teacher: expected a checkpoint's directory, got nothing", distillation={"teacher": ""})
    refused("examples.objective: expected mlm with a teacher, got nsp", examples={"objective": "nsp"})
    refused("model.init: expected nothing beside distillation.layers, got x", model={"init": "x"})
    refused("layers: expected 1 to 4, the model's, got 5", distillation={"layers": 5})
    refused("distillation: expected a weight above 0, got none", distillation=dict.fromkeys(WEIGHTS, 0.0))
    refused(
        "distillation.layers: expected the shape of bert_tiny_uncased, hidden_size 128, got 16",
        model={"preset": "bert_tiny_uncased"},
    )
    alone = {"preset": "bert_tiny_uncased", "encoder": {"num_heads": 2, "max_positions": 32, "hidden_size": 16}}
    refused("the student has [0-9,]+ parameters, more than the teacher's", model=alone, distillation={"layers": 0})
    alone = {**alone, "encoder": {**alone["encoder"], "hidden_size": 8, "intermediate_size": 8}}
    refused("distillation.cosine: .*the student has 8, the teacher 16", model=alone, distillation={"layers": 0})
    save_teacher(folder / "wide", vocab_size=200)
    wide = {"teacher": str(folder / "wide"), "layers": 0, "cosine": 0.0}
    refused("the student has [0-9]+ rows of tokens, the teacher 200", model=alone, distillation=wide)
    tokenizer = kb.Tokenizer.from_pretrained(folder / "teacher")
    kb.Encoder(TINY["bert"]).save_pretrained(folder / "headless", tokenizer=None)
    refused("expected a masked-language-model head in ", distillation={"teacher": str(folder / "headless")})
    other = kb.Tokenizer.from_json(tokenizer.to_json().replace('"film"', '"movie"'))
    other.save(folder / "wide")
    refused("the vocabularies differ: ", distillation={"teacher": str(folder / "wide")})
