"""Pretrain a model on the shards that prepare-data wrote, as a configuration file says.

The same command on the same work dir goes on where the run stopped, however it stopped. CONFIG is a TOML file, or the
name of one that is installed (bert_mini, bert_base_128, ...); --smoke runs it small, on text made on the fly if no
--data is given. docs/pretraining.md tells how to run on several devices, several machines and on a TPU.

example:
  keras-bert pretrain bert_mini --work-dir runs/mini --data shards --set data.evaluation=held-out
  keras-bert pretrain configs/bert_base_128.toml --work-dir runs/smoke --smoke
  keras-bert pretrain mine.toml --work-dir runs/a --set training.batch_size=512 --set optimizer.name=lamb
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib

import tensorflow as tf

from keras_bert.errors import ConfigError
from keras_bert.training.config_file import apply_changes, read_config
from keras_bert.training.loop import train
from keras_bert.training.run import prepare
from keras_bert.training.run_config import DistributionSettings, RunConfig
from keras_bert.training.strategies import Distribution, make_distribution

from . import options as shared
from .report import print_table, write_report
from .smoke import make_smoke_data, shrink
from .training_monitor import TerminalMonitor

CONFIG_FOLDERS = (
    pathlib.Path(__file__).parent / "configs",  # installed
    pathlib.Path(__file__).resolve().parent.parent / "configs",  # in a clone
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("config", help="TOML file, or the name of an installed one: " + ", ".join(installed_configs()))
    parser.add_argument("--work-dir", required=True, metavar="DIR", help="folder of the run; an unfinished one goes on")
    parser.add_argument("--data", metavar="DIR", help="folder of shards (data.folder)")
    parser.add_argument("--smoke", action="store_true", help="a tiny model, tiny batches, a few steps")
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a key: section.key=value",
    )
    parser.add_argument(
        "--steps",
        type=shared.positive(int),
        metavar="N",
        help="stop after step N, with a checkpoint; a later call goes on",
    )


def run(options: argparse.Namespace) -> int:
    """Read the configuration, train, write the report."""
    work_dir = pathlib.Path(options.work_dir)
    path = find_config(options.config)
    config = RunConfig.from_dict(read_config(path, options.changes))
    if options.data:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, folder=options.data))
    distribution = _distribution(config.distribution)
    if options.smoke:
        values = shrink(config.to_dict(), distribution)
        apply_changes(values, options.changes)  # what is asked for holds, whatever is small otherwise
        if not options.data:
            place = work_dir.resolve()  # "." has no name of its own
            values = make_smoke_data(values, place.parent / f"{place.name}.smoke-data")
        config = RunConfig.from_dict(values)
    ready = prepare(config, work_dir, distribution)
    outcome = train(ready, stop_at=options.steps, listener=TerminalMonitor() if distribution.is_chief else None)
    if not distribution.is_chief:
        return 0
    file = work_dir / "report.json"
    if not outcome["last"] and _reported_step(file) == outcome["step"]:
        print(f"nothing to do: {work_dir} was at step {outcome['step']} before; {file} stays")
        return 0
    report = {
        "config_file": str(path),
        "smoke": options.smoke,
        "config": config.to_dict(),
        "seed": config.training.seed,
        "replicas": distribution.num_replicas,
        "micro_batches": ready.distribution.micro_batches,
        "parameters": sum(variable.value.shape.num_elements() for variable in ready.step.trainable),
        "data": {"documents": ready.data.manifest.documents, "tokens": ready.data.manifest.tokens},
        **outcome,
    }
    write_report(file, "pretrain", report)
    scores = outcome["evaluation"] or {key: value for key, value in outcome["last"].items() if "loss" in key}
    done = outcome["step"] >= outcome["steps"]
    print_table(
        f"step {outcome['step']} of {outcome['steps']}, {outcome['seconds']:.0f} s; "
        + (f"the model is {work_dir}" if done else f"goes on with the same command: {work_dir}"),
        ["held out" if outcome["evaluation"] else "training", "value"],
        [[name, f"{value:.4f}"] for name, value in scores.items()],
    )
    return 0


def _distribution(settings: DistributionSettings) -> Distribution:
    """What a configuration asks for, its logical devices made first."""
    if settings.cpu_devices > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * settings.cpu_devices
        )
    return make_distribution(settings.strategy, worker_timeout=settings.worker_timeout, tpu=settings.tpu)


def _reported_step(file: pathlib.Path) -> int | None:
    """The step that a report is of; None where there is no report."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))["step"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def installed_configs() -> list[str]:
    """Names of the configurations that come with the library."""
    return sorted({file.stem for folder in CONFIG_FOLDERS if folder.is_dir() for file in folder.glob("*.toml")})


def find_config(name: str) -> pathlib.Path:
    """A file as given, or the installed one of that name.

    Raises:
        ConfigError: there is neither.
    """
    path = pathlib.Path(name)
    if path.is_file():
        return path
    for folder in CONFIG_FOLDERS:
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    raise ConfigError(f"no configuration {name}: expected a TOML file, or one of {', '.join(installed_configs())}")
