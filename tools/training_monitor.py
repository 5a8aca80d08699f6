"""A pretraining run on the terminal: one line that moves, or a line a record where there is no terminal."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Mapping
from typing import Any

import rich.console
import rich.progress

from keras_bert.training.monitor import Monitor

from .progress import time_left


class TerminalMonitor(Monitor):
    """Steps, tokens/s, loss, accuracies and the time left, on standard error."""

    def __init__(self) -> None:
        self.console = rich.console.Console(stderr=True)
        self.progress: rich.progress.Progress | None = None
        self.steps = 0

    def begin(self, step: int, steps: int) -> None:
        self.steps, self.first, self.started = steps, step, time.monotonic()
        if step:
            self._print(f"goes on after step {step} of {steps}")
        if self.console.is_terminal:
            self.progress = rich.progress.Progress(
                rich.progress.TextColumn("step"),
                rich.progress.MofNCompleteColumn(),
                rich.progress.BarColumn(),
                rich.progress.TextColumn("{task.fields[note]}"),
                rich.progress.TimeRemainingColumn(elapsed_when_finished=True),
                console=self.console,
                speed_estimate_period=600,
            )
            self.progress.start()
            self.task = self.progress.add_task("training", total=steps, completed=step, note="compiling")

    def advanced(self, step: int) -> None:
        if self.progress is not None:
            self.progress.update(self.task, completed=step)

    def trained(self, record: Mapping[str, Any]) -> None:
        note = f"{record['tokens_per_second']:,.0f} tokens/s  {_scores(record)}"
        if self.progress is not None:
            self.progress.update(self.task, note=note)
            return
        self._print(
            f"step {record['step']}/{self.steps}  {note}  lr {record['learning_rate']:.3g}  {self._left(record)}"
        )

    def evaluated(self, record: Mapping[str, Any]) -> None:
        self._print(f"step {record['step']}  held out: {_scores(record)}  perplexity {record['perplexity']:.2f}")

    def saved(self, step: int, path: pathlib.Path) -> None:
        if self.progress is None:
            self._print(f"step {step}  checkpoint {path}")

    def end(self) -> None:
        if self.progress is not None:
            self.progress.stop()

    def _left(self, record: Mapping[str, Any]) -> str:
        done = record["step"] - self.first
        seconds = (time.monotonic() - self.started) / max(done, 1) * (self.steps - record["step"])
        return time_left(seconds)

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def _scores(record: Mapping[str, Any]) -> str:
    names = {"loss": "loss", "mlm_accuracy": "mlm", "sentence_accuracy": "sentence"}
    return "  ".join(f"{label} {record[name]:.4f}" for name, label in names.items() if name in record)
