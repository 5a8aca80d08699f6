"""What a file is measured at: scores of repeated examples, latency in turns, and files that cannot be run."""

import json
import pathlib
import sys
import time

import keras_bert_edge
import numpy as np
import pytest
from keras_bert_tools import cli
from keras_bert_tools.compression.measure import measure_file, times_as_long
from keras_bert_tools.tasks import ADAPTERS

from keras_bert.data import read_questions
from keras_bert.errors import KerasBertError
from keras_bert.metrics import squad_v2_scores

TESTS = pathlib.Path(__file__).parents[1]
ANSWERS = TESTS / "edge" / "fixtures" / "answers.tflite"


def test_interval_where_questions_have_no_answer(tmp_path):
    """The bootstrap draws a question more than once, though its id is there once."""
    content = json.loads((TESTS / "data" / "qa.json").read_text(encoding="utf-8"))
    content["data"][0]["paragraphs"][0]["qas"][1].update(answers=[], is_impossible=True)
    (tmp_path / "v2.json").write_text(json.dumps(content), encoding="utf-8")
    data = read_questions(tmp_path / "v2.json").subset(range(4))
    found = measure_file(ANSWERS, ADAPTERS["question_answering"], data, seed=3)
    runner = keras_bert_edge.load(str(ANSWERS))
    results = [runner(each.question, each.context) for each in data.questions]
    alone = []
    for right, result in zip(data.answer_texts(), results, strict=True):
        nothing = [result.null_score_difference or 0.0]
        alone.append(squad_v2_scores([right], [result.answer], nothing, threshold=0.0).all.f1)
    generator = np.random.default_rng(3)
    means = [np.mean(np.take(alone, generator.integers(0, 4, 4))) for _ in range(200)]
    assert len(set(alone)) > 1
    assert found["f1"] == pytest.approx(np.mean(alone))
    assert [found["low"], found["high"]] == pytest.approx(np.quantile(means, [0.025, 0.975]))


class Sleeping:
    """A runner that takes so many seconds for an answer, and five times as many once `slow_after` were given."""

    answers = 0

    def __init__(self, seconds, slow_after):
        self.seconds, self.slow_after = seconds, slow_after

    def __call__(self, question, context):
        time.sleep(self.seconds * (5 if Sleeping.answers >= self.slow_after else 1))
        Sleeping.answers += 1


def test_how_many_times_as_long_whatever_the_machine_does_beside(monkeypatch):
    """A file of three times the work, on a machine that is five times as slow in the second half; the time that the
    task takes to score an answer is nobody's."""

    class Scoring(type(ADAPTERS["question_answering"])):
        def edge_predict(self, runner, data, on_item):
            time.sleep(0.05)
            return super().edge_predict(runner, data, on_item)

    data = read_questions(TESTS / "data" / "qa.json")
    many = data.subset([i % len(data) for i in range(80)])
    runners = [Sleeping(0.0015, 80), Sleeping(0.0005, 80)]
    opened = iter(runners)
    monkeypatch.setattr(keras_bert_edge, "load", lambda path, threads: next(opened))
    monkeypatch.setattr(Sleeping, "answers", 0)
    assert times_as_long(ANSWERS, ANSWERS, Scoring(), many) == pytest.approx(3, rel=0.2)
    assert Sleeping.answers == 160


def test_a_file_that_cannot_be_run(tmp_path):
    (tmp_path / "broken.tflite").write_bytes(b"no model")
    with pytest.raises(KerasBertError, match=r"broken\.tflite"):
        measure_file(tmp_path / "broken.tflite", ADAPTERS["question_answering"], None)


@pytest.mark.parametrize(
    "command",
    [
        ("compress", "--dev", "data.tsv", "--target", "size<1KB", "-o", "out"),
        ("quantize", "--recipe", "int4", "--qat", "--test", "data.tsv", "-o", "out.tflite"),
    ],
)
def test_a_missing_runner_shows_before_anything_is_done(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "keras_bert_edge", None)
    monkeypatch.chdir(tmp_path)
    job, *options = command
    assert cli.main([job, "no-model", "--train", "data.tsv", *options]) == 2
    assert "needs the extra edge" in capsys.readouterr().err
