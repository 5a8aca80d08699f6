"""What long work says where there is no terminal: a line now and then, and how long it will take."""

from __future__ import annotations

import time

import pytest
from keras_bert_tools import progress

from keras_bert.errors import KerasBertError

pytestmark = pytest.mark.tensorflow_only


def test_a_line_now_and_then_in_a_log(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY", 0.5)
    with progress.progress_bar("asking the teacher", 10) as advance:
        advance(2)  # at once: no line yet
        time.sleep(0.6)
        advance(2)
        advance(6)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("asking the teacher  ")]
    assert len(lines) == 1
    assert lines[0].startswith("asking the teacher  4/10  0:00:0")
    assert lines[0].endswith(" left")


def test_the_loss_is_in_the_line_and_one_that_is_not_finite_ends_it(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    shown = progress.FitProgress(steps=20, done=5)
    shown.on_train_begin()
    shown.on_train_batch_end(0, {"loss": 0.25})
    with pytest.raises(KerasBertError, match="the loss is nan at batch 2"):
        shown.on_train_batch_end(1, {"loss": float("nan")})
    assert "training  6/20  loss 0.2500" in capsys.readouterr().err
