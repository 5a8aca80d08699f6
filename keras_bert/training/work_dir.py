"""The folder of a run: its configuration, its checkpoints, its records."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

from ..errors import KerasBertError, TrainingError
from ..files import atomic_write_json, atomic_write_text, make_folder
from .lock import lock_folder
from .run_config import RunConfig

RUN_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"

# What may differ when a run goes on: none of it changes which examples are seen, or what a step computes of them
# but for dropout's masks, which are drawn for each micro-batch, with XLA others than without.
CHANGEABLE_SECTIONS = ("evaluation", "checkpoint", "logging", "distribution")
CHANGEABLE_KEYS = (
    "data.folder",
    "data.evaluation",
    "training.micro_batch_size",
    "training.steps_per_call",
    "training.jit_compile",
    "training.rematerialize",
)


class WorkDir:
    """A run's folder.

    `run.json` (the configuration and the data's fingerprint), `checkpoints/step-00000100`, `metrics.jsonl`,
    `tensorboard`, and at the end `report.json` beside a Hugging Face checkpoint.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)
        self.checkpoints = self.path / "checkpoints"

    def check(self, config: RunConfig, data_fingerprint: str) -> None:
        """Nothing happens where the folder is this run's, or nobody's.

        Args:
            data_fingerprint: of the shards' manifest; folders may move, their content may not change.

        Raises:
            TrainingError: the folder belongs to a run with another configuration; every difference is named. Or it
                holds something else.
        """
        file = self.path / RUN_FILE
        if file.exists():
            try:
                stored = json.loads(file.read_text(encoding="utf-8"))
                # What was not known when the run began has its default.
                before = _flat(RunConfig.from_dict(stored["config"]).to_dict())
                fingerprint = stored["data_fingerprint"]
            except (OSError, ValueError, KeyError, AttributeError) as error:
                raise TrainingError(f"{file} is not the record of a run: {error!r}") from error
            now = _flat(config.to_dict())
            differences = [
                f"{key}: {before.get(key, 'nothing')!r} there, {now.get(key, 'nothing')!r} now"
                for key in sorted({*before, *now})
                if before.get(key) != now.get(key) and not _changeable(key)
            ]
            if fingerprint != data_fingerprint:
                differences.append(
                    f"other shards in data.folder (manifest {fingerprint[:8]} there, {data_fingerprint[:8]} now)"
                )
            if differences:
                raise TrainingError(
                    f"{self.path} belongs to a run of another configuration: {'; '.join(differences)}. "
                    "Take another --work-dir, or the configuration it was begun with"
                )
        elif self.path.is_dir() and any(not path.name.startswith(".") for path in self.path.iterdir()):
            raise TrainingError(f"{self.path} holds files, but no run: take an empty or a new folder as --work-dir")

    def lock(self) -> None:
        """Keep other processes from writing to the folder, where it is there, until this one ends.

        Raises:
            TrainingError: one does already.
        """
        if self.path.is_dir():
            lock_folder(self.path)

    def begin(self, config: RunConfig, data_fingerprint: str) -> None:
        """Make the folder this run's; call `check` first, and only when everything that can be refused has been.

        Raises:
            TrainingError: another process is writing to it.
            KerasBertError: it cannot be written.
        """
        make_folder(self.path)
        self.lock()
        atomic_write_json(self.path / RUN_FILE, {"config": config.to_dict(), "data_fingerprint": data_fingerprint})
        self._clean()

    def checkpoint_path(self, step: int) -> pathlib.Path:
        """Folder of the checkpoint after `step` steps."""
        return self.checkpoints / f"step-{step:08d}"

    def saved(self) -> dict[int, pathlib.Path]:
        """Step -> folder of every whole checkpoint, in ascending order."""
        found = {path.name.removeprefix("step-"): path for path in self.checkpoints.glob("step-*")}
        return dict(sorted((int(step), path) for step, path in found.items() if step.isdecimal()))

    def prune(self, keep: int, best: int | None) -> None:
        """Remove all checkpoints but the last `keep` and the one at step `best`."""
        steps = list(self.saved())
        for step in steps[:-keep]:
            if step != best:
                # Renamed first: a half-removed folder must not pass for a checkpoint.
                doomed = self.checkpoints / f".step-{step:08d}.part"
                os.replace(self.checkpoint_path(step), doomed)
                shutil.rmtree(doomed, ignore_errors=True)

    def _clean(self) -> None:
        """Remove what a killed process left half written."""
        for folder in (self.path, self.checkpoints):
            for leftover in folder.glob(".*.part") if folder.exists() else ():
                if leftover.is_dir():
                    shutil.rmtree(leftover, ignore_errors=True)
                else:
                    leftover.unlink(missing_ok=True)

    # === metrics.jsonl ===

    def read_metrics(self) -> list[dict[str, Any]]:
        """The records so far."""
        file = self.path / METRICS_FILE
        records = []
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            with contextlib.suppress(ValueError):  # the last line of a killed process
                records.append(json.loads(line))
        return records

    def rewind_metrics(self, step: int) -> None:
        """Drop the records after `step`: a run that goes on from there writes them again."""
        kept = [json.dumps(record) + "\n" for record in self.read_metrics() if record["step"] <= step]
        if (self.path / METRICS_FILE).exists():
            atomic_write_text(self.path / METRICS_FILE, "".join(kept))

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Add one record, a line of JSON.

        Raises:
            KerasBertError: the disk is full or cannot be written.
        """
        path = self.path / METRICS_FILE
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise KerasBertError(f"cannot write {path}: {error.strerror or error}") from error


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _changeable(key: str) -> bool:
    return key in CHANGEABLE_KEYS or key.split(".")[0] in CHANGEABLE_SECTIONS
