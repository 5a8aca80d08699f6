"""Training by a teacher of another shape: what it reads, and how long."""

import argparse
import json

import keras
import numpy as np
import pytest
from command import run
from harness import arrays, randomize
from keras_bert_tools.compression.distiller import DistillationLosses
from keras_bert_tools.compression.training import TrainingSettings, train
from keras_bert_tools.tasks import ADAPTERS
from tiny import tiny_encoder

import keras_bert as kb
from keras_bert.data import read_labelled_texts

NO_DROPOUT = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "classifier_dropout": 0.0}


def tiny_classifier(folder, seed, **changes):
    encoder = tiny_encoder(folder, **NO_DROPOUT, **changes)
    model = kb.SequenceClassifier(encoder, ["neg", "pos"], tokenizer=kb.Tokenizer.from_pretrained(folder))
    randomize(model, seed)
    return model


def hidden_states(model, inputs):
    """Of the embedding and of the one layer, text after text without padding."""
    states = keras.Model(model.encoder.input, model.encoder.hidden_states)(inputs)
    return [arrays(state)["output"][inputs["padding_mask"] == 1] for state in states]


def trained(teacher, student, losses, path, tmp_path, **settings):
    data = read_labelled_texts(path)
    still = {"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0, "average": 0.0, "batch_size": 8}
    options = argparse.Namespace()
    task = ADAPTERS["sequence_classification"]
    return train(
        task, student, data, data, tmp_path / "out", TrainingSettings(**{**still, **settings}), losses, options,
        teacher=teacher,
    )  # fmt: skip


def test_teacher_with_segments_of_a_student_without(tmp_path):
    """The teacher's states are those of both segments, though the student knows none."""
    teacher = tiny_classifier(tmp_path / "teacher", 3)
    student = tiny_classifier(tmp_path / "student", 4, family="distilbert", num_segments=0, pooler=False)
    pairs = [("a good film", "it was fine"), ("dull", "the film was very sad"), ("poor", "great and good")]
    table = tmp_path / "pairs.tsv"
    rows = [f"{a}\t{b}\t{label}" for (a, b), label in zip(pairs, ("pos", "neg", "neg"), strict=True)]
    table.write_text("\n".join(["first\tsecond\tlabel", *rows]) + "\n")
    losses = DistillationLosses(soft=0.0, hard=0.0, hidden=1.0)
    found = trained(teacher, student, losses, table, tmp_path).history["hidden"]
    inputs = teacher.tokenizer(*map(list, zip(*pairs, strict=True)))
    assert inputs["segment_ids"].any()
    theirs = hidden_states(teacher, inputs)
    mine = hidden_states(student, {name: value for name, value in inputs.items() if name != "segment_ids"})
    expected = np.mean([((a - b) ** 2).mean() for a, b in zip(mine, theirs, strict=True)])
    assert found == [pytest.approx(expected, rel=1e-5)]


def test_texts_are_as_long_as_both_can_read(sentiment, tmp_path):
    teacher = tiny_classifier(tmp_path / "teacher", 3, max_positions=10)
    student = tiny_classifier(tmp_path / "student", 4)
    losses = DistillationLosses(soft=1.0, hard=0.0)
    notes = trained(teacher, student, losses, sentiment, tmp_path, max_length=20).notes
    lengths = [len(student.tokenizer.encode(text).token_ids) for text in read_labelled_texts(sentiment).texts]
    assert notes == [f"{sum(length > 10 for length in lengths)} of 60 training texts were cut to 10 tokens"]


def test_copies_are_not_made_unasked_without_a_mask_token(tmp_path, capsys):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "anna", "was", "sad"]) + "\n")
    tokenizer = kb.Tokenizer.from_pretrained(tmp_path)
    sizes = {"vocab_size": 7, "hidden_size": 16, "num_layers": 2, "num_heads": 2, "intermediate_size": 16}
    encoder = kb.Encoder(kb.EncoderConfig(**sizes, max_positions=16))
    kb.TokenClassifier(encoder, ["O", "B-PER"], tokenizer=tokenizer).save_pretrained(tmp_path / "model")
    table = tmp_path / "tags.tsv"
    table.write_text("anna\tB-PER\nwas\tO\nsad\tO\n")
    command = ("distill", tmp_path / "model", "--layers", 1, "--train", table, "--dev", table, "--epochs", 1)
    assert run(*command, "-o", tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["trained"]["copies"] == 0
    assert run(*command, "--copies", 1, "-o", tmp_path / "asked") == 2
    assert "no mask token" in capsys.readouterr().err


@pytest.mark.parametrize(("width", "rate"), [(16, 10 * 2.5e-5), (384, 4 * 2.5e-5)])
def test_the_rate_is_that_of_fine_tuning_at_the_width_of_the_student(width, rate, sentiment, tmp_path):
    student = tiny_classifier(tmp_path / "student", 4, hidden_size=width)
    found = trained(None, student, DistillationLosses(), sentiment, tmp_path, learning_rate=None)
    assert found.learning_rate == pytest.approx(rate)
    with_one = trained(None, student, DistillationLosses(), sentiment, tmp_path, learning_rate=1e-3)
    assert with_one.learning_rate == 1e-3
