"""The encoder and every task model of every family against the task contract."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from harness import (
    FAMILIES,
    TINY,
    arrays,
    assert_same,
    features,
    randomize,
    run_mixed_precision_test,
    run_task_test,
    values,
)

import keras_bert as kb
from keras_bert.errors import ConfigError

HIDDEN = 16
TASKS = {
    "sequence_classification": (lambda encoder: kb.SequenceClassifier(encoder, 3), {"output": ("batch", 3)}),
    "token_classification": (
        lambda encoder: kb.TokenClassifier(encoder, ["O", "B-PER", "I-PER"]),
        {"output": ("batch", "length", 3)},
    ),
    "question_answering": (
        kb.QuestionAnswerer,
        {"start_logits": ("batch", "length"), "end_logits": ("batch", "length")},
    ),
    "masked_lm": (kb.MaskedLanguageModel, {"output": ("batch", "length", 40)}),
    "sentence_embedding": (lambda encoder: kb.SentenceEncoder(encoder, normalize=False), {"output": ("batch", HIDDEN)}),
}


@pytest.mark.backend
@pytest.mark.parametrize("family", TINY)
def test_encoder(family, tmp_path):
    shapes = {"sequence_output": ("batch", "length", HIDDEN)}
    if family != "distilbert":
        shapes["pooled_output"] = ("batch", HIDDEN)
    run_task_test(lambda encoder: encoder, TINY[family], shapes, tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", TASKS)
def test_task(task, family, tmp_path):
    make, shapes = TASKS[task]
    needs_pooler = task == "sequence_classification" and TINY[family].family in ("bert", "albert")
    run_task_test(make, TINY[family].replace(pooler=needs_pooler), shapes, tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_pretraining(family, tmp_path):
    shapes = {"mlm_logits": ("batch", "length", 40)}
    pair = TINY[family].family in ("bert", "albert")
    if pair:
        shapes["sentence_logits"] = ("batch", 2)
    run_task_test(kb.PretrainingModel, TINY[family].replace(pooler=pair), shapes, tmp_path)


@pytest.mark.backend
@pytest.mark.parametrize("family", TINY)
def test_encoder_in_mixed_precision(family):
    run_mixed_precision_test(lambda encoder: encoder, TINY[family])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", TASKS)
def test_task_in_mixed_precision(task, family):
    run_mixed_precision_test(TASKS[task][0], TINY[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_pretraining_in_mixed_precision(family):
    run_mixed_precision_test(kb.PretrainingModel, TINY[family])


@pytest.mark.parametrize("problem_type", ["single_label_classification", "multi_label_classification", "regression"])
def test_classifier_trains_with_the_loss_of_its_problem(problem_type, tmp_path):
    labels = 1 if problem_type == "regression" else 3
    model = kb.SequenceClassifier(kb.Encoder(TINY["bert"]), labels, problem_type=problem_type)
    inputs = features(TINY["bert"])
    targets = {
        "single_label_classification": np.array([0, 2, 1]),
        "multi_label_classification": np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0]]),
        "regression": np.array([[0.5], [-1.0], [2.0]]),
    }[problem_type]
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    losses = model.fit(inputs, targets, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save_pretrained(tmp_path)
    again = kb.SequenceClassifier.from_pretrained(tmp_path)
    assert (again.problem_type, again.labels) == (problem_type, model.labels)


@pytest.mark.parametrize("mode", ["mean", "cls"])
@pytest.mark.parametrize("normalize", [True, False])
def test_sentence_vectors_are_kept_as_saved(mode, normalize, tmp_path):
    model = kb.SentenceEncoder(kb.Encoder(TINY["bert"].replace(pooler=False)), pooling=mode, normalize=normalize)
    inputs = features(TINY["bert"])
    vectors = arrays(model(inputs))["output"]
    if normalize:
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-6)
    model.save_pretrained(tmp_path)
    again = kb.SentenceEncoder.from_pretrained(tmp_path)
    assert (again.pooling, again.normalize) == (mode, normalize)
    assert_same(again(inputs), vectors)


@pytest.mark.parametrize("family", TINY)
def test_padding_changes_nothing(family):
    """A text alone and the same text beside a longer one give the same vectors."""
    model = kb.Encoder(TINY[family])
    randomize(model)
    inputs = features(TINY[family], batch=2, length=9, lengths=[9, 4])
    short = {name: value[1:, :4] for name, value in inputs.items()}
    padded = arrays(model(inputs))["sequence_output"][1:, :4]
    np.testing.assert_allclose(arrays(model(short))["sequence_output"], padded, atol=2e-6)


@pytest.mark.parametrize("family", TINY)
def test_mask_and_segments_may_be_left_out(family):
    model = kb.Encoder(TINY[family])
    inputs = features(TINY[family])
    if "segment_ids" in inputs:
        inputs["segment_ids"] = np.zeros_like(inputs["segment_ids"])
    assert_same(model({"token_ids": inputs["token_ids"]}), model(inputs))
    assert_same(model.predict({"token_ids": inputs["token_ids"]}, verbose=0), model(inputs), 1e-6)


def test_shared_blocks_are_one_object():
    model = kb.Encoder(TINY["albert-groups"])
    assert len(model.blocks) == 4
    assert model.schedule == (0, 1, 0, 1, 2, 3, 2, 3)
    assert len(model.hidden_states) == 9


def test_decoder_is_the_token_table():
    model = kb.MaskedLanguageModel(kb.Encoder(TINY["bert"].replace(pooler=False)))
    inputs = features(TINY["bert"])
    before = arrays(model(inputs))["output"]
    table = values(model.encoder.embeddings.token_table)
    table[3] = 0
    model.encoder.embeddings.token_table.assign(table)
    after = arrays(model(inputs))["output"]
    assert np.abs(after[..., 3]).max() == 0  # the bias starts at zero
    assert 3 not in inputs["token_ids"]
    np.testing.assert_allclose(np.delete(after, 3, axis=-1), np.delete(before, 3, axis=-1), atol=1e-6)


def test_fixed_sinusoids_stay_fixed():
    model = kb.Encoder(TINY["distilbert"].replace(sinusoidal_positions=True))
    table = model.embeddings.position_table
    assert not table.trainable
    assert all(weight is not table for weight in model.trainable_weights)
    np.testing.assert_allclose(values(table)[1, :2], [np.sin(1), np.cos(1)], atol=1e-6)


@pytest.mark.backend
def test_compiled_training_step():
    """The path users take: `fit` compiled, dropout on, weights of all parts move."""
    model = kb.SequenceClassifier(kb.Encoder(TINY["albert"].replace(hidden_dropout=0.1, attention_dropout=0.1)))
    model.compile()
    before = [values(weight) for weight in model.trainable_weights]
    model.fit(features(TINY["albert"]), np.array([0, 1, 1]), epochs=2, verbose=0)
    moved = [not np.array_equal(values(w), old) for w, old in zip(model.trainable_weights, before, strict=True)]
    assert sum(moved) >= len(moved) - 1


@pytest.mark.parametrize("task", [kb.SequenceClassifier, kb.PretrainingModel])
def test_heads_that_need_the_pooler_say_so(task):
    with pytest.raises(ConfigError, match="pooler"):
        task(kb.Encoder(TINY["bert"].replace(pooler=False)))


@pytest.mark.parametrize("labels", [0, [], ["a", "a"]])
def test_labels_must_be_names(labels):
    with pytest.raises(ConfigError, match="labels"):
        kb.TokenClassifier(kb.Encoder(TINY["bert"]), labels)


def test_options_out_of_range_are_named():
    encoder = kb.Encoder(TINY["bert"])
    with pytest.raises(ConfigError, match="problem_type"):
        kb.SequenceClassifier(encoder, problem_type="ranking")
    with pytest.raises(ConfigError, match="pooling"):
        kb.SentenceEncoder(encoder, pooling="max")
