"""Progress of `fit` and of long loops on standard error: a bar on a terminal, elsewhere a line a minute."""

from __future__ import annotations

import contextlib
import datetime
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import rich.console
import rich.progress

from keras_bert.errors import KerasBertError

_COLUMNS = (
    rich.progress.TextColumn("{task.description}"),
    rich.progress.BarColumn(),
    rich.progress.MofNCompleteColumn(),
    rich.progress.TextColumn("{task.fields[note]}"),
    rich.progress.TimeRemainingColumn(),
)


LINE_EVERY = 60.0  # seconds


class _Progress(rich.progress.Progress):
    """A bar; a line now and then where there is no terminal to draw it on (a log, a pipe)."""

    def __init__(self) -> None:
        super().__init__(*_COLUMNS, console=rich.console.Console(stderr=True))
        self._told = time.monotonic()

    def advance(self, task_id: rich.progress.TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        now = time.monotonic()
        if self.console.is_terminal or now - self._told < LINE_EVERY:
            return
        self._told = now
        task = self.tasks[task_id]
        left = "" if task.time_remaining is None else time_left(task.time_remaining)
        parts = (task.description, f"{task.completed:.0f}/{task.total:.0f}", task.fields["note"], left)
        self.console.print("  ".join(part for part in parts if part), highlight=False, markup=False, soft_wrap=True)


def time_left(seconds: float) -> str:
    """As a line of a log says it: `0:06:10 left`."""
    return f"{datetime.timedelta(seconds=round(seconds))} left"


@contextlib.contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar over `total` steps; yields the function that advances it."""
    with _Progress() as progress:
        task = progress.add_task(description, total=total, note="")
        yield lambda steps: progress.advance(task, steps)


class FitProgress(keras.callbacks.Callback):
    """One bar for the whole of `fit`; a line for each epoch. Stops at a loss that is not finite.

    Args:
        steps: batches of all epochs together. done: those of an earlier run that this one goes on from.
    """

    def __init__(self, steps: int, done: int = 0) -> None:
        super().__init__()
        self.progress = _Progress()
        self.steps, self.done = steps, done

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.progress.start()
        self.task = self.progress.add_task("training", total=self.steps, completed=self.done, note="")

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            self.progress.stop()
            raise KerasBertError(
                f"the loss is {loss} at batch {batch + 1}: lower the learning rate or look at the data"
            )
        self.progress.update(self.task, note=f"loss {loss:.4f}")
        self.progress.advance(self.task)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        values = ", ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        self.progress.console.print(f"epoch {epoch + 1}: {values}", highlight=False)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self.progress.stop()

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Gives the terminal back whatever ends the training inside."""
        try:
            yield
        finally:
            self.progress.stop()
