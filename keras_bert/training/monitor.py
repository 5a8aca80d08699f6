"""What a run tells while it goes on: records in `metrics.jsonl`, TensorBoard scalars, and whoever listens."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from ..errors import KerasBertError
from .work_dir import WorkDir


class Monitor:
    """Listens to a run; override what is of interest. All steps count from the beginning of the run."""

    def begin(self, step: int, steps: int) -> None:
        """The run starts or goes on after `step` of `steps`."""

    def batch(self, step: int, example_ids: Any) -> None:
        """Step `step` will train on these examples, int64 `[rows, 4]` (this worker's rows)."""

    def trained(self, record: Mapping[str, Any]) -> None:
        """A record of the steps since the last one."""

    def advanced(self, step: int) -> None:
        """`step` steps are done."""

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """Scores on the held-out shards."""

    def saved(self, step: int, path: pathlib.Path) -> None:
        """A checkpoint is written."""

    def end(self) -> None:
        """The run has stopped, for whatever reason."""


class Records(Monitor):
    """Writes `metrics.jsonl` and, where asked, TensorBoard scalars; passes everything on to another monitor.

    A run that goes on begins its TensorBoard anew with the records that are left, because the steps after its last
    checkpoint are taken, and told, again.

    What cannot be written, for want of room perhaps, is a KerasBertError.
    """

    def __init__(self, work_dir: WorkDir, tensorboard: bool, listener: Monitor, *, write: bool = True) -> None:
        self.work_dir, self.listener, self.write = work_dir, listener, write
        self.writer = None
        self.folder = work_dir.path / "tensorboard"
        if tensorboard and write:
            with _named_write_errors(self.folder):
                for old in self.folder.glob("events.out.tfevents.*"):
                    old.unlink()
                self.writer = tf.summary.create_file_writer(str(self.folder))
            for kept in work_dir.read_metrics():
                self._scalars(kept.pop("kind"), kept)

    def begin(self, step: int, steps: int) -> None:
        self.listener.begin(step, steps)

    def batch(self, step: int, example_ids: Any) -> None:
        self.listener.batch(step, example_ids)

    def advanced(self, step: int) -> None:
        self.listener.advanced(step)

    def saved(self, step: int, path: pathlib.Path) -> None:
        self.listener.saved(step, path)

    def trained(self, record: Mapping[str, Any]) -> None:
        self._record("train", record)
        self.listener.trained(record)

    def evaluated(self, record: Mapping[str, Any]) -> None:
        self._record("evaluation", record)
        self.listener.evaluated(record)

    def end(self) -> None:
        self.listener.end()
        if self.writer is not None:
            with _named_write_errors(self.folder):
                self.writer.close()

    def _record(self, kind: str, record: Mapping[str, Any]) -> None:
        if not self.write:
            return
        self.work_dir.append_metrics({"kind": kind, **record})
        self._scalars(kind, record)
        if self.writer is not None:
            with _named_write_errors(self.folder):
                self.writer.flush()

    def _scalars(self, kind: str, record: Mapping[str, Any]) -> None:
        if self.writer is not None:
            with _named_write_errors(self.folder), self.writer.as_default(step=record["step"]):
                for name, value in record.items():
                    if name != "step":
                        tf.summary.scalar(f"{kind}/{name}", value)


@contextlib.contextmanager
def _named_write_errors(folder: pathlib.Path) -> Iterator[None]:
    """Write TensorBoard's files inside this: what its writer raises is then a KerasBertError."""
    try:
        yield
    except tf.errors.OpError as error:
        raise KerasBertError(f"cannot write to {folder}: {error.message.splitlines()[0]}") from error
