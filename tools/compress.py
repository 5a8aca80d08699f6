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
import pathlib
import shutil
import sys
from typing import Any

from keras_bert.errors import KerasBertError
from keras_bert.files import atomic_path, atomic_write_text

from . import options as shared
from .compression.job import open_job
from .compression.measure import edge_runner
from .compression.picture import draw, figure_class
from .compression.plans import plans_for
from .compression.target import check_measures, meets, nearest, parse_target
from .compression.work import Work
from .report import print_table, write_report
from .tasks import add_reading_options

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
    for extra in (figure_class, edge_runner):
        extra()  # one that is missing shall show before hours of training
    output = pathlib.Path(options.output)
    opened = open_job(options.model, options)
    data = opened.dev if opened.test is None else opened.test
    work = Work(options, shared.checkpoint_path(options.model), output, opened.task, data)
    teacher, *plans = plans_for(opened.model.config, options.vocabulary, opened.model.tokenizer.vocab_size)
    rows = [work.row(teacher)]
    judged = rows[0]["judged"]
    check_measures(conditions, {**_MEASURES, **dict.fromkeys(rows[0]["metrics"], "")})
    failed: dict[str, str] = {}
    for plan in plans:
        try:
            rows.append(work.row(plan))
        except KerasBertError as error:
            failed[plan.name] = str(error)
            print(f"{plan.name} failed: {error}", file=sys.stderr)
            continue
        if not options.all and meets(rows[-1], conditions, rows[0]):
            break
    if len(rows) == 1:
        raise KerasBertError(f"no plan could be carried out; {'; '.join(': '.join(each) for each in failed.items())}")
    winner = nearest(rows[1:], conditions, rows[0])
    met = meets(winner, conditions, rows[0])
    with atomic_path(output / "model.tflite") as temporary:
        shutil.copyfile(winner["file"], temporary)
    atomic_write_text(output / "commands.sh", "\n".join(["set -e", *work.commands]) + "\n")
    report = {
        "model": str(options.model),
        "task": opened.task.name,
        "target": options.target,
        "met": met,
        "measured_on": str(options.test or options.dev),
        "winner": winner["name"],
        "rows": rows,
        "failed": failed,
        "seed": options.seed,
    }
    write_report(output / "report.json", "compress", report)
    title = f"{winner['name']} {'meets' if met else 'comes nearest to'} {options.target}: {output}"
    _print(rows, failed, judged, title)
    draw(rows, judged, output)
    return 0 if met else NOT_MET


def _print(rows: list[dict[str, Any]], failed: dict[str, str], judged: str, title: str) -> None:
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
    print_table(title, header, [*table, *([name, "failed"] for name in failed)])
    for name, message in failed.items():
        print(f"{name}: {message}")
