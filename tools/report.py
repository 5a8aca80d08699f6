"""`report.json` beside every result, and its tables on the terminal."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import rich.box
import rich.console
import rich.table

from keras_bert.files import atomic_write_json

_UNFOLDED = 10_000  # characters, more than any table has
PACKAGES = ("keras-bert-toolkit", "keras", "tensorflow", "tokenizers", "ai-edge-litert")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on, where they are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def write_report(path: str | os.PathLike[str], job: str, values: Mapping[str, Any]) -> None:
    """Write `values` with job, versions and machine to `path`, whole or not at all."""
    machine = {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform()}
    atomic_write_json(path, {"job": job, **values, "versions": versions(), "machine": machine})


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith(("model name", "Model"))]
        return names[0] if names else platform.machine()
    except OSError:
        return platform.processor() or platform.machine()


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """One table on standard output; the first column left, the others right. A terminal folds what is too wide for it;
    a log or a pipe gets the table as wide as it is."""
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(str(value) for value in row))
    console = rich.console.Console(width=None if os.isatty(1) else _UNFOLDED)
    console.print(title, highlight=False, markup=False, soft_wrap=True)
    console.print(table)
