"""Command-line options that several jobs share."""

from __future__ import annotations

import argparse
import importlib.resources
import pathlib
from collections.abc import Callable

from keras_bert.errors import KerasBertError


def positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    """An argparse type: a number above 0."""
    return _number(kind, "above 0", lambda value: value > 0)


def not_negative(kind: type[int] | type[float]) -> Callable[[str], float]:
    """An argparse type: 0 or a number above."""
    return _number(kind, "of at least 0", lambda value: value >= 0)


def _number(kind: type[int] | type[float], expected: str, accepts: Callable[[float], bool]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if not accepts(value):
            raise argparse.ArgumentTypeError(f"expected a number {expected}, got {text}")
        return value

    parse.__name__ = kind.__name__
    return parse


def share(*, below_one: bool = True, above_zero: bool = False) -> Callable[[str], float]:
    """An argparse type: a number from 0 to 1; `below_one` and `above_zero` leave out the ends."""

    def parse(text: str) -> float:
        value = float(text)
        if not 0 <= value <= 1 or (below_one and value == 1) or (above_zero and value == 0):
            raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text}")
        return value

    parse.__name__ = "number"
    return parse


def checkpoint_path(name: str) -> pathlib.Path:
    """A directory, or `package:NAME/FOLDER`, a folder inside an installed Python package.

    Raises:
        KerasBertError: the package is not installed.
    """
    if not name.startswith("package:"):
        return pathlib.Path(name)
    package, _, folder = name.removeprefix("package:").partition("/")
    try:
        return pathlib.Path(str(importlib.resources.files(package))) / folder
    except ModuleNotFoundError:
        raise KerasBertError(f"{name}: the Python package {package} is not installed") from None


def layers(text: str) -> int | tuple[int, ...]:
    """An argparse type: how many layers, or which ones, with commas between."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, or numbers with commas between, got {text!r}") from None
    return numbers[0] if len(numbers) == 1 else tuple(numbers)
