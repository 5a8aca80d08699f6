"""Several trainings that differ in the seed alone: mean and deviation, the best one kept."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import statistics
from typing import Any

from keras_bert.errors import KerasBertError
from keras_bert.files import atomic_write_json

from ..tasks import Evaluation, TaskAdapter
from .training import Splits, Trained, forget_state, train

_RECORD = "training.json"


def train_seeds(task: TaskAdapter, data: Splits, options: argparse.Namespace, output: pathlib.Path) -> list[Trained]:
    """Train `options.seeds` times, each in a folder of its own below `output`; then the best of them moves to `output`
    and the folders go. The card does not move: the caller writes one of all seeds.

    With `options.resume`, seeds that are done are read from their record.

    Returns:
        The trainings in the order of their seeds.
    """
    settings = {name: value for name, value in vars(options).items() if name not in ("resume", "tensorboard")}
    runs = []
    for seed in range(options.seed, options.seed + options.seeds):
        folder = output / f".seed-{seed}"
        record = folder / _RECORD
        run = _finished(record, settings) if options.resume else None
        if run is None:
            record.unlink(missing_ok=True)
            print(f"seed {seed}", flush=True)
            run = train(task, data, options, seed, folder)
            atomic_write_json(record, {"settings": settings, "run": {**dataclasses.asdict(run), "output": str(folder)}})
            forget_state(folder)
        runs.append(run)
    kept = best(runs)
    for path in sorted(kept.output.rglob("*")):
        if path.is_file() and path.name not in (_RECORD, "README.md"):
            target = output / path.relative_to(kept.output)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
    for run in runs:
        shutil.rmtree(run.output, ignore_errors=True)
    return runs


def best(runs: list[Trained]) -> Trained:
    """The run that is best on the development set, the first of equal ones and where there is none."""
    return max(runs, key=lambda run: next(iter(run.dev.values()), 0.0))


def summary(runs: list[Trained]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean and sample standard deviation of every metric by split; deviation 0 for a single run."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for split in runs[0].scores:
        found[split] = {}
        for name in runs[0].scores[split]:
            values = [run.scores[split].get(name, float("nan")) for run in runs]
            deviation = statistics.stdev(values) if len(values) > 1 else 0.0
            found[split][name] = {"mean": statistics.fmean(values), "deviation": deviation}
    return found


def _finished(record: pathlib.Path, settings: dict[str, Any]) -> Trained | None:
    """A training that is done, if it was started with the same settings."""
    if not record.exists():
        return None
    try:
        values = json.loads(record.read_text("utf-8"))
        if values["settings"] != json.loads(json.dumps(settings)):
            return None
        run = values["run"]
        tested = Evaluation(**run.pop("test")) if run.get("test") else None
        return Trained(**{**run, "test": tested, "output": pathlib.Path(run["output"])})
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise KerasBertError(f"{record} cannot be read: {error}; remove it to train this seed anew") from error
