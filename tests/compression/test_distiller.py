"""Student and teacher in one model: the student's own outputs, losses against NumPy, replicas, cached logits."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from harness import FAMILIES, TINY, arrays, assert_same, features, randomize, values
from keras_bert_tools.compression.distiller import DistillationLosses, Distiller
from keras_bert_tools.compression.soft_labels import SoftLabels, cached_logits, distillation_dataset, teacher_logits

import keras_bert as kb
from keras_bert.config import IGNORED_TARGET
from keras_bert.data.batches import TokenTargets, laid_end_to_end
from keras_bert.errors import ConfigError, KerasBertError
from keras_bert.layers.embeddings import changed_embeddings
from keras_bert.models.structure import keep_layers

TASKS = {
    "sequence": lambda encoder: kb.SequenceClassifier(encoder, labels=3),
    "token": lambda encoder: kb.TokenClassifier(encoder, labels=4),
    "question": kb.QuestionAnswerer,
}
EVERYTHING = DistillationLosses(soft=1.0, hard=0.5, hidden=0.3, attention=0.2, relations=0.1)


def make(family, task="sequence", seed=3, **changes):
    layers = max(2, TINY[family].num_layers)
    config = TINY[family].replace(**{"num_layers": layers, "max_positions": 32, **changes})
    model = TASKS[task](kb.Encoder(config.replace(hidden_dropout=0.0, attention_dropout=0.0, classifier_dropout=0.0)))
    for layer in (model.head.dropout,):
        layer.rate = 0.0
    randomize(model, seed)
    return model


def texts_of(count=6):
    generator = np.random.default_rng(1)
    return laid_end_to_end((generator.integers(5, 40, 3 + i % 4), np.zeros(3 + i % 4)) for i in range(count))


def targets_of(task, texts):
    generator = np.random.default_rng(2)
    if task == "sequence":
        return generator.integers(0, 3, len(texts))
    if task == "question":
        return {name: generator.integers(0, 3, len(texts)) for name in ("start_logits", "end_logits")}
    return TokenTargets(np.where(generator.random(texts.ends[-1]) < 0.6, 2, IGNORED_TARGET).astype("int32"))


def log_softmax(x, axis=-1):
    x = x.astype("float64")
    x = x - x.max(axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def kl(teacher, student, axis=-1):
    return (np.exp(log_softmax(teacher, axis)) * (log_softmax(teacher, axis) - log_softmax(student, axis))).sum(axis)


def test_every_epoch_has_its_own_texts():
    """Beside those of all epochs; the soft labels are the same texts'."""
    texts, student = texts_of(10), make("bert")
    soft = SoftLabels(np.arange(10, dtype="float32")[:, None] * np.ones(3, "float32"), per_token=False)
    chosen = {0: [0, 1, 2, 3, 4, 5], 1: [0, 1, 6, 7, 8, 9]}
    dataset = distillation_dataset(
        texts,
        targets_of("sequence", texts),
        soft,
        student.config,
        batch_size=4,
        in_epoch=lambda epoch: np.array(chosen[epoch]),
    )
    assert int(dataset.cardinality()) == 2
    for epoch in (0, 1):
        found = {}
        for x, y in dataset:
            for ids, mask, logits in zip(x["token_ids"], x["padding_mask"], y["soft"], strict=True):
                found[int(logits[0])] = np.array(ids)[np.array(mask) == 1].tolist()
        starts = np.append(0, texts.ends)
        assert found == {i: texts.token_ids[starts[i] : starts[i + 1]].tolist() for i in chosen[epoch]}


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize(
    ("family", "task"), [*((f, "sequence") for f in FAMILIES), ("bert", "token"), ("albert", "question")]
)
def test_loss_of_a_batch(family, task, weighed):
    """Soft and hard parts, written out with NumPy, one text after the other; some texts' targets count for nothing."""
    teacher, student = make(family, task, seed=5), make(family, task, seed=6)
    texts = texts_of()
    targets = targets_of(task, texts)
    soft = teacher_logits(teacher, texts, batch_size=4)
    weights = np.array([1, 0, 1, 0, 0, 1], "float32") if weighed else None
    dataset = distillation_dataset(texts, targets, soft, student.config, batch_size=6, weights=weights)
    (x, y), *more = dataset
    assert not more
    assert ("weight" in y) == weighed
    counts = np.array(y["weight"]) if weighed else np.ones(6)
    losses = DistillationLosses(soft=1.0, hard=0.5, temperature=2.0)
    distiller = Distiller(student, losses)
    outputs = distiller(x, training=False)
    assert_same(outputs["outputs"], student(x), 1e-6)
    got = float(distiller.compute_loss(x=x, y=y, y_pred=outputs))

    theirs, mine = (
        np.stack(list(arrays(model(x)).values()), -1) if task == "question" else arrays(model(x))["output"]
        for model in (teacher, student)
    )
    mask = np.array(x["padding_mask"]).astype(bool)
    hard = y["hard"]
    if task == "sequence":
        soft_part = 4 * kl(theirs / 2, mine / 2).mean()
        hard_part = -(counts * log_softmax(mine)[np.arange(6), np.array(hard)]).mean()
    elif task == "token":
        soft_part = 4 * kl(theirs / 2, mine / 2)[mask].mean()
        chosen = np.array(hard)
        asked = chosen != IGNORED_TARGET
        each = np.repeat(counts, asked.sum(1))
        hard_part = -(each * log_softmax(mine)[asked][np.arange(asked.sum()), chosen[asked]]).mean()
    else:
        rows = [kl(theirs[i, mask[i], end] / 2, mine[i, mask[i], end] / 2) for i in range(6) for end in (0, 1)]
        soft_part = 4 * np.mean(rows)
        ends = ("start_logits", "end_logits")
        hard_part = np.mean(
            [-counts[i] * log_softmax(mine[i, :, e])[int(hard[ends[e]][i])] for i in range(6) for e in (0, 1)]
        )
    assert got == pytest.approx(soft_part + 0.5 * hard_part, rel=1e-5)


def test_inner_losses_of_a_student_of_another_width():
    teacher = make("bert", seed=5, num_layers=4)
    student = make("bert", seed=6, hidden_size=24, embedding_size=0, num_heads=3)
    losses = DistillationLosses(soft=0.0, hard=0.0, hidden=1.0, relations=1.0, relation_heads=4)
    distiller = Distiller(student, losses, teacher=teacher)
    assert distiller.projection.kernel.shape == (24, 16)
    x = features(student.config)
    found = distiller(x)
    assert len(found["teacher_hidden"]) == 5
    assert_same(found["teacher_hidden"][-1], teacher.encoder(x)["sequence_output"], 1e-6)
    loss = float(distiller.compute_loss(x=x, y={}, y_pred=found))
    mask = x["padding_mask"].astype(bool)
    projection = values(distiller.projection.kernel)
    hidden = []
    for layer in range(3):
        mine = arrays(found["hidden"][layer])["output"] @ projection
        hidden.append(((arrays(found["teacher_hidden"][2 * layer])["output"] - mine) ** 2)[mask].mean())
    assert loss == pytest.approx(np.mean(hidden) + float(distiller._parts["relations"].result()), rel=1e-5)
    with pytest.raises(ConfigError, match="head by head"):
        Distiller(student, DistillationLosses(attention=1.0), teacher=teacher)
    with pytest.raises(ConfigError, match="do not divide"):
        Distiller(student, DistillationLosses(relations=1.0, relation_heads=5), teacher=teacher)


def test_inner_losses_vanish_between_equals():
    teacher = make("albert")
    student = keep_layers(teacher, range(2))
    losses = DistillationLosses(soft=0.0, hard=0.0, hidden=1.0, attention=1.0, relations=1.0)
    distiller = Distiller(student, losses, teacher=teacher)
    x = features(student.config)
    assert float(distiller.compute_loss(x=x, y={}, y_pred=distiller(x))) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_moves_the_student_and_never_the_teacher(family):
    teacher = make(family, seed=5)
    student = keep_layers(teacher, [0])
    randomize(student, 9)
    texts = texts_of(16)
    soft = teacher_logits(teacher, texts)
    dataset = distillation_dataset(texts, targets_of("sequence", texts), soft, student.config, batch_size=8)
    before = [values(weight) for weight in teacher.weights]
    distiller = Distiller(student, EVERYTHING, teacher=teacher)
    distiller.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    history = distiller.fit(dataset, epochs=8, verbose=0).history
    assert set(history) == {"loss", "soft", "hard", "hidden", "attention", "relations"}
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert all(np.array_equal(values(weight), old) for weight, old in zip(teacher.weights, before, strict=True))


def test_adversarial_training_with_a_teacher():
    """From labels alone it is the model's own; the embeddings of a teacher that runs beside stay where they are."""
    alone, student, teacher = make("bert"), make("bert"), make("bert", seed=5)
    x, y = features(alone.config), np.array([0, 2, 1])
    student.set_weights(alone.get_weights())
    alone.compile(keras.optimizers.SGD(0.1), adversarial=0.3)
    alone.train_on_batch(x, y)
    distiller = Distiller(student, DistillationLosses(soft=0.0, hard=1.0))
    distiller.set_adversarial(0.3)
    distiller.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    distiller.train_on_batch(x, {"hard": y})
    for mine, theirs in zip(student.trainable_weights, alone.trainable_weights, strict=True):
        np.testing.assert_allclose(values(mine), values(theirs), atol=1e-6)
    # What is shown is of the texts as they are.
    losses = DistillationLosses(soft=0.0, hard=0.0, hidden=1.0)
    distiller = Distiller(student, losses, teacher=teacher)
    outputs = distiller(x)
    shown = float(distiller.compute_loss(x=x, y={}, y_pred=outputs))
    distiller.set_adversarial(0.3)
    distiller.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    history = distiller.fit(x, {"hard": y}, verbose=0).history
    assert history["loss"] == history["hidden"] == [pytest.approx(shown, rel=1e-5)]
    with changed_embeddings(lambda embedded: embedded + 1):
        assert float(distiller.moved_loss(x=x, y={}, y_pred=distiller(x))) != pytest.approx(shown, rel=1e-2)


def test_two_replicas_equal_one():
    """In a process of its own: devices are cut in two before TensorFlow starts."""
    here = pathlib.Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, here / "two_replicas.py"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_logits_are_kept_and_belong_to_one_teacher(tmp_path):
    teacher, texts, path = make("bert"), texts_of(), tmp_path / "logits.npz"
    first = cached_logits(path, teacher, texts, lambda: teacher_logits(teacher, texts))

    def never() -> SoftLabels:
        raise AssertionError("computed again")

    again = cached_logits(path, teacher, texts, never)
    np.testing.assert_array_equal(again.values, first.values)
    with pytest.raises(KerasBertError, match="another teacher"):
        cached_logits(path, make("bert", seed=8), texts, never)
    np.save(tmp_path / "array.npy", first.values)
    for content in (b"PK nonsense", b"", (tmp_path / "array.npy").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(KerasBertError, match="no file of teacher logits"):
            cached_logits(path, teacher, texts, never)
