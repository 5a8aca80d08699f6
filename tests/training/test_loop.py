"""One process: what a run writes, what it starts from and how it ends."""

import json
import math
import shutil
import types

import keras
import numpy as np
import pytest
from tiny import tiny_tokenizer
from tiny_runs import ENCODER, make_config, start, write_data

import keras_bert as kb
from keras_bert.data.pretraining import PretrainingData, PretrainingSettings
from keras_bert.errors import ConfigError, TokenizerError
from keras_bert.training import loop
from keras_bert.training import step as step_module
from keras_bert.training.loop import train
from keras_bert.training.monitor import Monitor
from keras_bert.training.run_config import RunConfig
from keras_bert.training.step import PretrainingStep
from keras_bert.training.vocabulary import extend_vocabulary

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def records(work_dir, kind):
    rows = [json.loads(line) for line in (work_dir / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == kind]


class Events(Monitor):
    def __init__(self):
        self.calls = []

    def advanced(self, step):
        self.calls.append(step)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("run") / "work"
    events = Events()
    run = start(make_config(data, evaluation={"mask_rate": 0.3}), work_dir)
    outcome = train(run, listener=events)
    return run, work_dir, outcome, events


def test_calls_never_cross_a_boundary(finished):
    # Records every 2, evaluations and checkpoints every 4, calls of at most 5 steps.
    assert finished[3].calls == [2, 4, 6, 8, 10, 12]


def test_records_and_outcome(finished):
    run, work_dir, outcome, _ = finished
    trained, evaluated = records(work_dir, "train"), records(work_dir, "evaluation")
    assert [row["step"] for row in trained] == [2, 4, 6, 8, 10, 12]
    assert [row["step"] for row in evaluated] == [4, 8, 12]
    assert trained[0]["learning_rate"] == pytest.approx(1e-2 / 2)
    assert trained[-1]["learning_rate"] == pytest.approx(1e-2 / 10)
    # Nothing is known yet: the loss is near that of guessing among all tokens, and of tossing a coin.
    assert trained[0]["mlm_loss"] == pytest.approx(math.log(run.model.config.vocab_size), abs=0.2)
    assert trained[0]["sentence_loss"] == pytest.approx(math.log(2), abs=0.1)
    assert evaluated[-1]["perplexity"] == pytest.approx(math.exp(evaluated[-1]["mlm_loss"]))
    assert outcome["step"] == outcome["steps"] == 12
    assert outcome["evaluation"]["loss"] == evaluated[-1]["loss"]
    assert list((work_dir / "tensorboard").glob("events*"))


def test_evaluation_is_the_mean_over_the_held_out_tokens(finished, data):
    """The definition, in NumPy over the model's logits at every position; twice as many are masked as in training."""
    run, _, outcome, _ = finished
    held_out = PretrainingData(
        data / "held-out", PretrainingSettings(sequence_length=32, objective="nsp", mask_rate=0.3), seed=0
    )
    total, hits, count, pair_loss, pairs = 0.0, 0.0, 0.0, 0.0, 0.0
    for batch in held_out.dataset(batch_size=8, lanes=2).take(3).as_numpy_iterator():
        out = run.model({name: batch[name] for name in ("token_ids", "padding_mask", "segment_ids")}, training=False)
        logits = np.take_along_axis(out["mlm_logits"].numpy(), batch["masked_positions"][..., None], axis=1)
        scores = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        chosen = np.take_along_axis(scores, batch["masked_targets"][..., None], axis=-1)[..., 0]
        total -= (chosen * batch["masked_weights"]).sum()
        hits += ((logits.argmax(-1) == batch["masked_targets"]) * batch["masked_weights"]).sum()
        count += batch["masked_weights"].sum()
        pair = out["sentence_logits"].numpy()
        pair = pair - np.log(np.exp(pair).sum(-1, keepdims=True))
        pair_loss -= np.take_along_axis(pair, batch["sentence_targets"], axis=-1).sum()
        pairs += len(pair)
    assert outcome["evaluation"]["mlm_loss"] == pytest.approx(total / count, abs=1e-4)
    assert outcome["evaluation"]["mlm_accuracy"] == pytest.approx(hits / count)
    assert outcome["evaluation"]["sentence_loss"] == pytest.approx(pair_loss / pairs, abs=1e-4)


def test_the_result_is_a_checkpoint_and_the_best_one_is_kept(finished):
    run, work_dir, _, _ = finished
    model = kb.PretrainingModel.from_pretrained(work_dir)
    inputs = {"token_ids": np.array([[7, 8, 9, 0]], "int32")}
    np.testing.assert_array_equal(model(inputs)["mlm_logits"], run.model(inputs)["mlm_logits"])
    assert model.tokenizer.vocab == run.model.tokenizer.vocab
    scores = {row["step"]: row["loss"] for row in records(work_dir, "evaluation")}
    assert set(run.work_dir.saved()) == {12, min(scores, key=scores.get)}
    # Each checkpoint opens like any other.
    assert kb.Encoder.from_pretrained(run.work_dir.checkpoint_path(12)).config == run.model.encoder.config


def test_a_finished_run_stays_as_it_is(finished, data):
    _, work_dir, _, _ = finished
    before = (work_dir / "metrics.jsonl").read_text()
    assert train(start(make_config(data), work_dir))["step"] == 12
    assert (work_dir / "metrics.jsonl").read_text() == before


def test_float16_skips_steps_that_overflow(data, tmp_path):
    config = make_config(data, training={"precision": "float16", "steps": 6, "steps_per_call": 1}, logging={"every": 3})
    run = start(config, tmp_path / "run")
    # So large that the scaled loss overflows: it is halved until it does not.
    run.step.loss_scale.assign(2.0**127)
    run.step.good_steps.assign(5.0)
    before = [variable.numpy() for variable in run.step.trainable]
    outcome = train(run, stop_at=1)
    assert outcome["skipped_steps"] == 1
    assert float(run.step.loss_scale.numpy()) == 2.0**126
    assert (float(run.step.good_steps.numpy()), int(run.step.optimizer.iterations.numpy())) == (0.0, 0)
    for variable, old in zip(run.step.trainable, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)
    run.step.loss_scale.assign(2.0**10)
    outcome = train(run, stop_at=3)
    assert (outcome["skipped_steps"], int(run.step.optimizer.iterations.numpy())) == (1, 2)
    again = start(config, tmp_path / "run")
    assert (again.progress.step, again.progress.skipped) == (3, 1)
    assert float(again.step.loss_scale.numpy()) == 2.0**10
    # Three more that overflow: nothing is known of their loss.
    again.step.loss_scale.assign(2.0**127)
    assert train(again)["skipped_steps"] == 4

    def never(name):
        raise AssertionError(f"{name} is no JSON")

    state = tmp_path / "run" / "checkpoints" / "step-00000006" / "state.json"
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=never) for line in [*lines, state.read_text()]]
    first, second = (row for row in rows if row.get("kind") == "train")
    # The mean of the two steps that were taken, which know nothing yet.
    assert first["loss"] == pytest.approx(math.log(run.model.config.vocab_size) + math.log(2), abs=0.3)
    assert (first["skipped_steps"], second["skipped_steps"]) == (1, 4)
    assert not {"loss", "mlm_loss", "perplexity", "gradient_norm"} & set(second)
    assert second["tokens"] > first["tokens"]


@pytest.mark.parametrize(
    ("precision", "sets", "expected"),
    [("float32", {"avx2"}, True), ("float32", {"avx2", "avx512f"}, "elementwise"), ("bfloat16", set(), "elementwise")],
)
def test_left_to_itself_xla_has_no_products_that_tensorflow_computes_faster(
    precision, sets, expected, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(step_module, "instruction_sets", lambda: sets)
    values = make_config(data, training={"precision": precision}).to_dict()
    del values["training"]["jit_compile"]
    found = start(RunConfig.from_dict(values), tmp_path).step
    assert found.jit_compile == expected
    made = PretrainingStep(found.network, found.optimizer, found.distribution)  # by hand
    assert made.jit_compile == expected
    with pytest.raises(ConfigError, match="jit_compile: expected true, false, auto or elementwise, got all"):
        PretrainingStep(found.network, found.optimizer, found.distribution, jit_compile="all")


def test_tokens_per_second_are_those_of_the_steps_alone(data, tmp_path, monkeypatch):
    """By a clock that steps move by 10 seconds and evaluations and checkpoints by 1000, over a run that is stopped."""
    config = make_config(
        data,
        training={"steps": 4, "steps_per_call": 1},
        logging={"every": 3, "tensorboard": False},
        evaluation={"every": 2},
        checkpoint={"every": 1},
    )
    clock = [0.0]
    monkeypatch.setattr(loop, "time", types.SimpleNamespace(monotonic=lambda: clock[0]))

    def slow(function, seconds):
        def slowed(*arguments):
            clock[0] += seconds
            return function(*arguments)

        return slowed

    monkeypatch.setattr(PretrainingStep, "run", slow(PretrainingStep.run, 10))
    monkeypatch.setattr(PretrainingStep, "evaluate", slow(PretrainingStep.evaluate, 1000))
    monkeypatch.setattr(loop, "save_state", slow(loop.save_state, 1000))
    train(start(config, tmp_path / "run"), stop_at=2)
    train(start(config, tmp_path / "run"))
    first, last = records(tmp_path / "run", "train")
    assert first["tokens_per_second"] == pytest.approx(first["tokens"] / 30, abs=0.1)
    assert last["tokens_per_second"] == pytest.approx((last["tokens"] - first["tokens"]) / 10, abs=0.1)


def test_added_tokens_start_from_their_pieces(tmp_path):
    keras.utils.set_random_seed(4)
    old = tiny_tokenizer(tmp_path / "old")
    config = kb.PRESETS["bert_tiny_uncased"].replace(**ENCODER, embedding_size=0, vocab_size=old.vocab_size)
    model = kb.PretrainingModel(kb.Encoder(config), tokenizer=old)
    model.head.bias.assign(np.arange(old.vocab_size, dtype="float32"))
    new = kb.Tokenizer.from_json(old.to_json())
    assert new.add_tokens(["goodfilm", "zb"]) == 2
    extended = extend_vocabulary(model, new)
    table, grown = model.encoder.embeddings.token_table.numpy(), extended.encoder.embeddings.token_table.numpy()
    size = old.vocab_size
    np.testing.assert_array_equal(grown[:size], table)
    # WordPiece cuts "goodfilm" into good, ##f, ##i, ##l, ##m and "zb" into z, ##b.
    for token, pieces in {"goodfilm": ["good", "##f", "##i", "##l", "##m"], "zb": ["z", "##b"]}.items():
        ids = [old.token_to_id(piece) for piece in pieces]
        np.testing.assert_allclose(grown[new.token_to_id(token)], table[ids].mean(0), atol=1e-7)
        assert extended.head.bias.numpy()[new.token_to_id(token)] == pytest.approx(np.mean(ids))
    inputs = {"token_ids": np.array([[7, 8, 9, 12]], "int32")}
    same = extended(inputs)
    np.testing.assert_allclose(same["mlm_logits"][..., :size], model(inputs)["mlm_logits"], atol=1e-6)
    np.testing.assert_allclose(same["sentence_logits"], model(inputs)["sentence_logits"], atol=1e-6)
    assert extend_vocabulary(extended, new) is extended
    other = kb.Tokenizer.from_json(old.to_json().replace('"film"', '"movie"'))
    with pytest.raises(TokenizerError, match=r"'film' has id \d+ there, none here"):
        extend_vocabulary(model, other)


def test_a_run_starts_from_a_checkpoint_and_extends_it(data, finished, tmp_path):
    _, work_dir, _, _ = finished
    config = make_config(data, model={"init": str(work_dir), "encoder": {"hidden_dropout": 0.0}, "preset": ""})
    run = start(config, tmp_path / "run")
    expected = kb.PretrainingModel.from_pretrained(work_dir)
    for found, value in zip(run.model.trainable_weights, expected.trainable_weights, strict=True):
        np.testing.assert_array_equal(found.numpy(), value.numpy())
    assert run.model.config.hidden_dropout == 0.0
    # With a checkpoint of its own it needs the other no more.
    copied = config.to_dict()
    copied["model"]["init"] = str(shutil.copytree(work_dir, tmp_path / "init"))
    copied = RunConfig.from_dict(copied)
    run = start(copied, tmp_path / "resumed")
    train(run, stop_at=2)
    shutil.rmtree(tmp_path / "init")
    again = start(copied, tmp_path / "resumed")
    assert (again.progress.step, again.model.config) == (2, run.model.config)
    for found, value in zip(again.step.trainable, run.step.trainable, strict=True):
        assert found.path == value.path
        np.testing.assert_array_equal(found.numpy(), value.numpy())
    with pytest.raises(ConfigError, match=r"encoder\.num_layers: the checkpoint .* fixes it"):
        start(make_config(data, model={"init": str(work_dir), "encoder": {"num_layers": 2}}), tmp_path / "other")
    with pytest.raises(ConfigError, match="expected the shape of bert_tiny_uncased, hidden_size 128, got 16"):
        start(make_config(data, model={"init": str(work_dir), "encoder": {}}), tmp_path / "other")
