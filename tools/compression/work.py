"""Carrying plans out: each job as the command line would run it, each chain of stages once."""

from __future__ import annotations

import argparse
import importlib
import json
import pathlib
import shlex
import time
from collections.abc import Sequence
from typing import Any

from keras_bert.errors import KerasBertError

from ..tasks import given
from ..tflite.recipes import RECIPES
from .finished import Finished, digest_of
from .job import Job
from .measure import measure_file, times_as_long
from .plans import Plan, Stage
from .training import EPOCHS

_OF_THE_FILE = ("size", "gzip", "latency")  # measures that are not scores


class Work:
    """Runs jobs and keeps the commands of those that went well; one that an earlier run finished is not run again.

    Args:
        options: of `compress`. checkpoint: the teacher's. output: the folder to write.
        opened: the teacher, its task, and the data that files are measured on: dev and, where there is one, test.
    """

    def __init__(
        self, options: argparse.Namespace, checkpoint: pathlib.Path, output: pathlib.Path, opened: Job
    ) -> None:
        self.options, self.checkpoint, self.output, self.opened = options, checkpoint, output, opened
        self.commands: list[str] = []
        self._first: tuple[pathlib.Path, float] | None = None
        self._done: dict[pathlib.Path, float | KerasBertError] = {}
        self._finished = Finished(output)
        self._data = [pathlib.Path(path) for path in (options.train, options.dev, options.unlabelled) if path]

    def row(self, plan: Plan) -> dict[str, Any]:
        """Carry a plan out and measure its file: on dev, and under `test` its scores there.

        Its latency is that of the first file measured, times the ratio of the two in turns.

        Raises:
            KerasBertError: one of its stages fails, now or before in another plan, or its file does.
        """
        seconds, folder = 0.0, self.checkpoint
        for index, stage in enumerate(plan.stages):
            before = folder
            folder = self.output / "stages" / "+".join(s.name for s in plan.stages[: index + 1])
            seconds += self._stage(stage, before, folder)
        path = self.output / "files" / f"{plan.name.replace(', ', '.')}.tflite"
        seconds += self._write(folder, plan.recipe, path)
        exported = json.loads(path.with_suffix(".report.json").read_text(encoding="utf-8"))
        task, seed = self.opened.task, self.options.seed
        measures = measure_file(path, task, self.opened.dev, seed)
        if self._first is None:
            self._first = path, measures["latency"]
        else:
            first, latency = self._first
            measures["latency"] = latency * times_as_long(path, first, task, self.opened.dev)
        metrics = [name for name in measures if name not in (*_OF_THE_FILE, "low", "high")]
        on_test = {}
        if self.opened.test is not None:
            found = measure_file(path, task, self.opened.test, seed)
            on_test = {"test": {name: value for name, value in found.items() if name not in _OF_THE_FILE}}
        return {
            "name": plan.name,
            "file": str(path),
            "checkpoint": str(folder),
            "parameters": exported["parameters"],
            **measures,
            **on_test,
            "metrics": metrics,
            "judged": metrics[0],
            "seconds": round(seconds, 1),
        }

    def has_failed(self, stage: Stage) -> bool:
        """Whether this stage, as the first of a plan, was carried out in vain."""
        return isinstance(self._done.get(self.output / "stages" / stage.name), KerasBertError)

    def _stage(self, stage: Stage, before: pathlib.Path, folder: pathlib.Path) -> float:
        """Carry a stage out, once for all plans that begin alike; seconds that it took."""
        if folder not in self._done:
            try:
                command = [*self._models(stage, before), *stage.options, *self._training(stage.job)]
                self._done[folder] = self._run(stage.job, *command, out=folder, reads=[before, self.checkpoint])
            except KerasBertError as error:
                self._done[folder] = error
        done = self._done[folder]
        if isinstance(done, KerasBertError):
            raise done
        return done

    def _models(self, stage: Stage, before: pathlib.Path) -> list[str]:
        """What it makes smaller, the result of the stage before, and its teacher, the model that all began with."""
        if before == self.checkpoint:
            return [str(before)]
        if stage.job == "distill":
            return [str(self.checkpoint), "--student", str(before)]
        return [str(before), "--teacher", str(self.checkpoint)]

    def _write(self, folder: pathlib.Path, recipe: str, path: pathlib.Path) -> float:
        """Write the file by `recipe`; seconds that it took."""
        kind = RECIPES[recipe]
        if not (kind.calibrated or kind.needs_texts):
            return self._run("export", str(folder), "--recipe", recipe, out=path, reads=[folder])
        command = [str(folder), "--recipe", recipe, "--train", str(self.options.train), *self._reading()]
        command += ["--seed", str(self.options.seed)]
        return self._run("quantize", *command, out=path, reads=[folder])

    def _training(self, job: str) -> list[str]:
        options = self.options
        # Without --dev the jobs hold the same tenth out, drawn from the same seed.
        found = ["--train", options.train, *(["--dev", options.dev] if options.dev else [])]
        found += ["--epochs", options.epochs or EPOCHS[job], "--seed", options.seed]
        found += ["--batch-size", options.batch_size]
        for name in ("learning_rate", "adversarial", "copies", "unlabelled", "max_length"):
            if (value := getattr(options, name)) is not None:
                found += [f"--{name.replace('_', '-')}", value]
        return [*(str(value) for value in found), *self._reading()]

    def _reading(self) -> list[str]:
        """The options that say how data files are read."""
        options, found = self.options, []
        for name in self.opened.task.option_names:
            value = getattr(options, name, None)
            if given(value) and name not in ("regression", "multi_label"):  # which the model tells
                found += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
        return [*map(str, found), *(["--strict"] if options.strict else [])]

    def _run(self, job: str, *arguments: str, out: pathlib.Path, reads: Sequence[pathlib.Path]) -> float:
        """Run a job as the command line would, or take what it has made before; seconds that it took.

        Args:
            reads: the checkpoints that it starts or learns from.
        """
        command = [*arguments, "-o", str(out)]
        written = shlex.join(["keras-bert", job, *command])
        read = digest_of([*reads, *self._data])
        if (seconds := self._finished.seconds(written, read, out)) is not None:
            print(f"{out}: made before, taken as it is")
            self.commands.append(written)
            return seconds
        module = importlib.import_module(f"..{job}", __package__)
        parser = argparse.ArgumentParser(f"keras-bert {job}")
        module.add_arguments(parser)
        began = time.perf_counter()
        out.parent.mkdir(parents=True, exist_ok=True)
        if module.run(parser.parse_args(command)):
            raise KerasBertError(f"{job} failed: {written}")
        seconds = time.perf_counter() - began
        self._finished.keep(written, read, out, seconds)
        self.commands.append(written)
        return seconds
