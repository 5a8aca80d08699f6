"""What a run tells while it goes on: records in `metrics.jsonl`, TensorBoard scalars, and whoever listens."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

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
    """Writes `metrics.jsonl` and, where asked, TensorBoard scalars; passes everything on to another monitor."""

    def __init__(self, work_dir: WorkDir, tensorboard: bool, listener: Monitor, *, write: bool = True) -> None:
        self.work_dir, self.listener, self.write = work_dir, listener, write
        self.writer = None
        if tensorboard and write:
            self.writer = tf.summary.create_file_writer(str(work_dir.path / "tensorboard"))

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
        if self.writer is not None:
            self.writer.close()
        self.listener.end()

    def _record(self, kind: str, record: Mapping[str, Any]) -> None:
        if not self.write:
            return
        self.work_dir.append_metrics({"kind": kind, **record})
        if self.writer is not None:
            with self.writer.as_default(step=record["step"]):
                for name, value in record.items():
                    if name != "step":
                        tf.summary.scalar(f"{kind}/{name}", value)
            self.writer.flush()
