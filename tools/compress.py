"""Make a trained model as small as a target asks, and show what each step cost.

The tools are chained in a few sensible ways, from the mildest to the hardest: the vocabulary cut to the training texts,
half of the heads and feed-forward, half and a third of the layers, both; each written as dynamic_int8 and as int4 and
measured on the development set, or on --test where given. It stops at the first file that meets the target. In OUT lie
model.tflite (the winner, or the nearest where none meets the target: exit status 3), its checkpoint under stages/,
report.json, commands.sh (what was run, to repeat it), pareto.png and pareto.svg (extra `plots`).

Conditions of a target: size, gzip, parameters, latency (ms) and the metrics of the task; numbers may have a unit or
be a multiple of the teacher's own (the float32 file).

example:
  keras-bert compress out --train train.tsv --dev dev.tsv --target "size<10MB, accuracy>=0.97*teacher" -o small
"""

from __future__ import annotations

import argparse
import importlib
import json
import pathlib
import shlex
import shutil
import time
from typing import Any

from keras_bert.checkpoints import open_checkpoint
from keras_bert.errors import KerasBertError
from keras_bert.files import atomic_path, atomic_write_text

from . import options as shared
from .compression.measure import measure_file
from .compression.picture import draw, figure_class
from .compression.plans import Plan, plans_for
from .compression.target import Condition, check_measures, parse_target
from .evaluate import follow_model, saved_adapter
from .quiet import quiet_imports
from .report import print_table, write_report
from .tasks import add_reading_options
from .tflite.recipes import RECIPES

NOT_MET = 3  # exit status
_MEASURES = {"size": "bytes", "gzip": "bytes", "parameters": "", "latency": "ms"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("model", help="directory of a trained checkpoint, the teacher")
    parser.add_argument("--train", required=True, metavar="FILE", help="labelled data of the model's task")
    parser.add_argument("--dev", required=True, metavar="FILE", help="chooses epochs, and the winner without --test")
    parser.add_argument("--test", metavar="FILE", help="measured on instead of --dev")
    parser.add_argument("--target", required=True, metavar="CONDITIONS", help="with commas between")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="directory to write")
    parser.add_argument("--vocabulary", type=shared.positive(int), default=8000, help="tokens kept (default 8000)")
    parser.add_argument("--epochs", type=shared.positive(int), default=3, help="of every stage (default 3)")
    parser.add_argument("--batch-size", type=shared.positive(int), default=32)
    parser.add_argument("--learning-rate", type=shared.positive(float), default=5e-5)
    parser.add_argument("--max-length", type=shared.positive(int), help="longest input in tokens; default: the task's")
    parser.add_argument("--all", action="store_true", help="run every plan, whether or not the target is met")
    parser.add_argument("--seed", type=int, default=0)
    add_reading_options(parser)


def run(options: argparse.Namespace) -> int:
    """Try the plans, keep the winner; 0, or `NOT_MET`."""
    conditions = parse_target(options.target)
    figure_class()  # a missing extra shall show before hours of training
    output = pathlib.Path(options.output)
    checkpoint = shared.checkpoint_path(options.model)
    task = saved_adapter(checkpoint, options)
    follow_model(options, open_checkpoint(checkpoint).raw_config.get("problem_type"))
    data = task.read(options.test or options.dev, options)
    with quiet_imports():
        teacher = task.open_trained(checkpoint)
    work = _Work(options, checkpoint, output, task, data)
    plans = plans_for(teacher.config, options.vocabulary)
    rows = [work.row(plans[0])]
    judged = rows[0]["judged"]
    check_measures(conditions, {**_MEASURES, **dict.fromkeys(rows[0]["metrics"], "")})
    for plan in plans[1:]:
        rows.append(work.row(plan))
        if not options.all and _met(rows[-1], conditions, rows[0]):
            break
    winner = min(rows[1:], key=lambda row: (sum(c.shortfall(row, rows[0]) for c in conditions), row["size"]))
    met = _met(winner, conditions, rows[0])
    with atomic_path(output / "model.tflite") as temporary:
        shutil.copyfile(winner["file"], temporary)
    atomic_write_text(output / "commands.sh", "\n".join(["set -e", *work.commands]) + "\n")
    report = {
        "model": str(options.model),
        "task": task.name,
        "target": options.target,
        "met": met,
        "measured_on": str(options.test or options.dev),
        "winner": winner["name"],
        "rows": rows,
        "seed": options.seed,
    }
    write_report(output / "report.json", "compress", report)
    _print(rows, judged, f"{winner['name']} {'meets' if met else 'comes nearest to'} {options.target}: {output}")
    draw(rows, judged, output)
    return 0 if met else NOT_MET


class _Work:
    """Runs jobs, each chain of stages once, and keeps the commands."""

    def __init__(
        self, options: argparse.Namespace, checkpoint: pathlib.Path, output: pathlib.Path, task: Any, data: Any
    ) -> None:
        self.options, self.checkpoint, self.output, self.task, self.data = options, checkpoint, output, task, data
        self.commands: list[str] = []
        self._done: dict[pathlib.Path, float] = {}

    def row(self, plan: Plan) -> dict[str, Any]:
        """Carry a plan out and measure its file."""
        seconds, folder = 0.0, self.checkpoint
        for index, stage in enumerate(plan.stages):
            before = folder
            folder = self.output / "stages" / "+".join(s.name for s in plan.stages[: index + 1])
            if folder not in self._done:
                self._done[folder] = self._run(stage.job, str(before), *stage.options, *self._training(), out=folder)
            seconds += self._done[folder]
        path = self.output / "files" / f"{plan.name.replace(', ', '.')}.tflite"
        seconds += self._write(folder, plan.recipe, path)
        exported = json.loads(path.with_suffix(".report.json").read_text(encoding="utf-8"))
        measures = measure_file(path, self.task, self.data, self.options.seed)
        metrics = [name for name in measures if name not in ("size", "gzip", "low", "high", "latency")]
        return {
            "name": plan.name,
            "file": str(path),
            "checkpoint": str(folder),
            "parameters": exported["parameters"],
            **measures,
            "metrics": metrics,
            "judged": metrics[0],
            "seconds": round(seconds, 1),
        }

    def _write(self, folder: pathlib.Path, recipe: str, path: pathlib.Path) -> float:
        """Write the file by `recipe`; seconds that it took."""
        if not RECIPES[recipe].needs_texts:
            return self._run("export", str(folder), "--recipe", recipe, out=path)
        command = [str(folder), "--recipe", recipe, "--calibration", str(self.options.train), *self._reading()]
        return self._run("quantize", *command, out=path)

    def _training(self) -> list[str]:
        options = self.options
        found = ["--train", options.train, "--dev", options.dev, "--epochs", options.epochs, "--seed", options.seed]
        found += ["--batch-size", options.batch_size, "--learning-rate", options.learning_rate]
        if options.max_length:
            found += ["--max-length", options.max_length]
        return [*(str(value) for value in found), *self._reading()]

    def _reading(self) -> list[str]:
        """The options that say how data files are read."""
        options, found = self.options, []
        for name in self.task.option_names:
            value = getattr(options, name, None)
            if value not in (None, False) and name not in ("regression", "multi_label"):  # which the model tells
                found += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
        return [*map(str, found), *(["--strict"] if options.strict else [])]

    def _run(self, job: str, *arguments: str, out: pathlib.Path) -> float:
        """Run a job as the command line would; seconds that it took."""
        command = [*arguments, "-o", str(out)]
        self.commands.append(shlex.join(["keras-bert", job, *command]))
        module = importlib.import_module(f".{job}", __package__)
        parser = argparse.ArgumentParser(f"keras-bert {job}")
        module.add_arguments(parser)
        began = time.perf_counter()
        out.parent.mkdir(parents=True, exist_ok=True)
        if module.run(parser.parse_args(command)):
            raise KerasBertError(f"{job} failed: {self.commands[-1]}")
        return time.perf_counter() - began


def _met(row: dict[str, Any], conditions: list[Condition], teacher: dict[str, Any]) -> bool:
    return all(condition.holds(row, teacher) for condition in conditions)


def _print(rows: list[dict[str, Any]], judged: str, title: str) -> None:
    header = ["", "parameters", "file", "gzip", judged, "95% interval", "latency", "seconds"]
    table = [
        [
            row["name"],
            f"{row['parameters']:,}",
            f"{row['size'] / 1e6:.2f} MB",
            f"{row['gzip'] / 1e6:.2f} MB",
            f"{row[judged]:.4f}",
            f"{row['low']:.3f}-{row['high']:.3f}",
            f"{row['latency']:.2f} ms",
            row["seconds"],
        ]
        for row in rows
    ]
    print_table(title, header, table)
