"""What a file is measured at: scores of repeated examples, latency in turns, and files that cannot be run."""

import itertools
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


def test_how_many_times_as_long_whatever_the_machine_does_beside():
    """A file of three times the work, on a machine that is five times as slow in the second half."""
    calls = itertools.count()

    class Sleeping(type(ADAPTERS["question_answering"])):
        def edge_predict(self, runner, data, on_item):
            slow = 5 if next(calls) >= 10 else 1
            time.sleep(slow * (0.009 if runner.path_seen == "heavy" else 0.003))

    data = read_questions(TESTS / "data" / "qa.json")
    many = data.subset([i % len(data) for i in range(80)])
    names = iter(["heavy", "light"])
    found = []
    with pytest.MonkeyPatch.context() as patch:
        load = keras_bert_edge.load

        def marked(*arguments, **options):
            runner = load(*arguments, **options)
            runner.path_seen = next(names)
            found.append(runner)
            return runner

        patch.setattr(keras_bert_edge, "load", marked)
        ratio = times_as_long(ANSWERS, ANSWERS, Sleeping(), many)
    assert len(found) == 2
    assert next(calls) == 20
    assert ratio == pytest.approx(3, rel=0.15)


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
