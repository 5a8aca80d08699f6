"""Make a trained model as small as a target asks, and show what each step cost.

The tools are chained in a few sensible ways, from the mildest to the hardest: the vocabulary cut to the training texts,
half of the heads and feed-forward, half of the layers, both, a third of the layers; each written as dynamic_int8 and as
int4. It stops at the first file that meets the target. A plan whose file will be too large or too slow whatever
training brings, as an untrained model of its shape shows, is left out (not with --all). A plan that fails is told, and
the others go on.

In OUT lie model.tflite (the winner, or the nearest where none meets the target: exit status 3), its checkpoint under
stages/, report.json, commands.sh (what was run, to repeat it), pareto.png and pareto.svg (extra `plots`). A run that
was interrupted goes on with the same command; what is done is also taken where only the target is another. Files are
run by keras-bert-edge (extra `edge`).

On --train every stage is trained, vocabularies are cut and files calibrated. On --dev the epochs are chosen, the target
is judged and the winner is found (default: a tenth of --train; with the --seed of a finetune that had no --dev either,
the tenth that the teacher never saw). On --test nothing is chosen: every file is scored there once, and the report
tells whether the winner meets the target there too.

Conditions of a target: size, gzip, parameters, latency (ms) and the metrics of the task; numbers may have a unit or
be a multiple of the teacher's own (the float32 file).

example:
  keras-bert compress out --train train.tsv --test test.tsv --target "size<10MB, accuracy>=0.97*teacher" -o small
"""

from __future__ import annotations

import argparse
import pathlib
import shlex
import shutil
from typing import Any

from keras_bert.files import atomic_path, atomic_write_text

from . import options as shared
from .compression.job import TASKS, check_apart, open_job, require
from .compression.measure import edge_runner
from .compression.picture import draw, figure_class
from .compression.plans import plans_for
from .compression.search import search
from .compression.target import MEASURES, check_measures, meets, nearest, parse_target
from .compression.training import EPOCHS, add_text_options, evaluate
from .compression.work import Work
from .evaluate import saved_adapter
from .report import print_table, write_report
from .tasks import add_reading_options

NOT_MET = 3  # exit status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("model", help="directory of a trained checkpoint, the teacher")
    parser.add_argument("--task", choices=TASKS, help="the model's; default: the one that it was saved for")
    parser.add_argument("--train", required=True, metavar="FILE", help="labelled data of the task")
    parser.add_argument("--dev", metavar="FILE", help="chooses epochs and the winner; default: a tenth of --train")
    parser.add_argument("--test", metavar="FILE", help="every file is scored on it too, and nothing chosen by it")
    parser.add_argument("--target", required=True, metavar="CONDITIONS", help="with commas between")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="directory to write")
    parser.add_argument("--vocabulary", type=shared.positive(int), default=8000, help="tokens kept (default 8000)")
    own = ", ".join(f"{epochs} of {job}" for job, epochs in EPOCHS.items())
    parser.add_argument("--epochs", type=shared.positive(int), help=f"of every stage; default: {own}")
    parser.add_argument("--batch-size", type=shared.positive(int), default=32)
    parser.add_argument("--learning-rate", type=shared.positive(float), help="default: that of finetune for each model")
    parser.add_argument(
        "--adversarial", type=shared.share(), metavar="SIZE", help="as of finetune; default: that for the model's task"
    )
    add_text_options(parser)
    parser.add_argument("--max-length", type=shared.positive(int), help="longest input in tokens; default: the task's")
    parser.add_argument("--all", action="store_true", help="run every plan, also such as cannot meet the target")
    parser.add_argument("--seed", type=int, default=0)
    add_reading_options(parser)


def run(options: argparse.Namespace) -> int:
    """Try the plans, keep the winner; 0, or `NOT_MET`."""
    conditions = parse_target(options.target)
    for extra in (figure_class, edge_runner):
        extra()  # one that is missing shall show before hours of training
    output, checkpoint = pathlib.Path(options.output), shared.checkpoint_path(options.model)
    check_apart(output, options.model)
    saved = saved_adapter(checkpoint, options).name
    require(options.task in (None, saved), f"{checkpoint} was saved for {saved}, not for {options.task}")
    opened = open_job(options.model, options)
    scores = evaluate(opened.task, opened.model, opened.dev, options.max_length).scores
    check_measures(conditions, {**MEASURES, **dict.fromkeys(scores, "")})
    work = Work(options, checkpoint, output, opened)
    teacher, *plans = plans_for(opened.model.config, options.vocabulary, opened.model.tokenizer.vocab_size)
    found = search(teacher, plans, work, [] if options.all else conditions)
    rows = found.rows
    winner = nearest(rows[1:], conditions, rows[0])
    met = meets(winner, conditions, rows[0])
    on_test = [{**row, **row["test"]} for row in rows] if opened.test is not None else []
    met_on_test = meets(on_test[rows.index(winner)], conditions, on_test[0]) if on_test else None
    with atomic_path(output / "model.tflite") as temporary:
        shutil.copyfile(winner["file"], temporary)
    kept = shlex.join(["cp", winner["file"], str(output / "model.tflite")])
    atomic_write_text(output / "commands.sh", "\n".join(["set -e", *work.commands, kept]) + "\n")
    report = {
        "model": str(options.model),
        "task": opened.task.name,
        "target": options.target,
        "met": met,
        "met_on_test": met_on_test,
        "options": vars(options),
        "winner": winner["name"],
        "rows": rows,
        "failed": found.failed,
        "left_out": {plan.name: over for plan, over in found.left_out.items()},
        "seed": options.seed,
    }
    write_report(output / "report.json", "compress", report)
    title = f"{winner['name']} {'meets' if met else 'comes nearest to'} {options.target} on dev"
    if met and on_test:
        title += f", {'and' if met_on_test else 'but not'} on test"
    _print({"dev": rows, **({"test": on_test} if on_test else {})}, found.missing, f"{title}: {output}")
    draw(on_test or rows, rows[0]["judged"], "test" if on_test else "dev", output)
    return 0 if met else NOT_MET


def _print(rows: dict[str, list[dict[str, Any]]], missing: list[tuple[str, str, str]], title: str) -> None:
    """The table, its scores by split; below it why others have no row."""
    judged = rows["dev"][0]["judged"]
    header = ["", "parameters", "file", "gzip"]
    for split in rows:
        header += [f"{judged} ({split})", "95% interval"]
    table = []
    for row, *others in zip(*rows.values(), strict=True):
        cells = [row["name"], f"{row['parameters']:,}", f"{row['size'] / 1e6:.2f} MB", f"{row['gzip'] / 1e6:.2f} MB"]
        for each in (row, *others):
            cells += [f"{each[judged]:.4f}", f"{each['low']:.3f}-{each['high']:.3f}"]
        table.append([*cells, f"{row['latency']:.2f} ms", row["seconds"]])
    print_table(title, [*header, "latency", "seconds"], [*table, *([name, outcome] for name, outcome, _ in missing)])
    for name, _, reason in missing:
        print(f"{name}: {reason}")
