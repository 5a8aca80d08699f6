"""What a compressed model shall reach, as people write it: `size<10MB, accuracy>=0.97*teacher`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from keras_bert.errors import KerasBertError

MEASURES = {"size": "bytes", "gzip": "bytes", "parameters": "", "latency": "ms"}  # of any file, and their units
_UNITS = {"": 1.0, "B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "ms": 1.0}
_CONDITION = re.compile(
    r"\s*(?P<name>[a-z_0-9]+)\s*(?P<operator><=|>=|<|>)\s*(?P<number>\d+(\.\d+)?)\s*"
    r"(?P<rest>KB|MB|GB|B|ms|\*\s*teacher)?\s*"
)
_Row = TypeVar("_Row", bound=Mapping[str, Any])
_COMPARE = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@dataclasses.dataclass(frozen=True)
class Condition:
    """One condition: a measure, a comparison, and a number in bytes, milliseconds or nothing, or a multiple of
    the teacher's own measure; `unit` as it was written."""

    name: str
    operator: str
    number: float
    of_teacher: bool
    unit: str = ""

    def limit(self, teacher: Mapping[str, float]) -> float:
        """The number to compare with."""
        return self.number * teacher[self.name] if self.of_teacher else self.number

    def holds(self, measures: Mapping[str, float], teacher: Mapping[str, float]) -> bool:
        """Whether `measures` fulfil it."""
        return _COMPARE[self.operator](measures[self.name], self.limit(teacher))

    def shortfall(self, measures: Mapping[str, float], teacher: Mapping[str, float]) -> float:
        """How far off `measures` are, as a share of the limit; 0 where it holds, and at the limit itself."""
        limit = self.limit(teacher)
        return 0.0 if self.holds(measures, teacher) else abs(measures[self.name] - limit) / max(abs(limit), 1e-12)


def parse_target(text: str) -> list[Condition]:
    """The conditions of `text`, separated by commas.

    Raises:
        KerasBertError: a condition that cannot be read.
    """
    conditions = []
    for part in text.split(","):
        found = _CONDITION.fullmatch(part)
        if found is None:
            raise KerasBertError(f"the target {part.strip()!r}: expected something like size<10MB or f1>=0.97*teacher")
        name, rest = found["name"], (found["rest"] or "").replace(" ", "")
        of_teacher = rest == "*teacher"
        unit = "" if of_teacher else rest
        number = float(found["number"]) * _UNITS[unit]
        conditions.append(Condition(name, found["operator"], number, of_teacher, unit))
    return conditions


def nearest(rows: Sequence[_Row], conditions: Sequence[Condition], teacher: Mapping[str, float]) -> _Row:
    """The smallest of the rows that meet all conditions; where none does, the one that is least off in all."""
    return min(
        rows,
        key=lambda row: (
            not meets(row, conditions, teacher),
            total_shortfall(row, conditions, teacher),
            row["size"],
        ),
    )


def total_shortfall(
    measures: Mapping[str, Any], conditions: Sequence[Condition], teacher: Mapping[str, float]
) -> float:
    """How far off `measures` are in all; conditions on others than these do not count."""
    return sum(condition.shortfall(measures, teacher) for condition in conditions if condition.name in measures)


def meets(measures: Mapping[str, Any], conditions: Sequence[Condition], teacher: Mapping[str, float]) -> bool:
    """Whether `measures` fulfil all conditions."""
    return all(condition.holds(measures, teacher) for condition in conditions)


def check_measures(conditions: list[Condition], measures: Mapping[str, str]) -> None:
    """Check the conditions against what is measured: name -> `bytes`, `ms` or empty.

    Raises:
        KerasBertError: an unknown measure or a unit of another kind.
    """
    for condition in conditions:
        if condition.name not in measures:
            raise KerasBertError(f"the target names {condition.name}: expected one of {', '.join(measures)}")
        if condition.unit and measures[condition.name] != ("ms" if condition.unit == "ms" else "bytes"):
            raise KerasBertError(f"the target: {condition.name} is not measured in {condition.unit}")


def spelled(measures: Mapping[str, float]) -> str:
    """As people read it: `size 14.72 MB, latency 1.05 ms`."""
    words = {
        "bytes": lambda value: f"{value / 1e6:.2f} MB",
        "ms": lambda value: f"{value:.2f} ms",
        "": lambda value: f"{value:,.0f}",
    }
    return ", ".join(f"{name} {words[MEASURES[name]](value)}" for name, value in measures.items())
