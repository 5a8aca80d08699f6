"""Carrying out one plan after the other, until a file meets the target."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from keras_bert.errors import KerasBertError

from .forecast import Forecast
from .plans import Plan
from .target import Condition, meets, spelled, total_shortfall
from .work import Work


@dataclasses.dataclass(frozen=True)
class Found:
    """What came of the plans.

    Attributes:
        rows: the teacher's, then one a file, as `Work.row` gives them.
        failed: why a plan failed, by its name.
        left_out: which measures of a plan would be more than the target allows.
    """

    rows: list[dict[str, Any]]
    failed: dict[str, str]
    left_out: dict[Plan, dict[str, float]]

    @property
    def missing(self) -> list[tuple[str, str, str]]:
        """Plans that have no row: name, what became of them, why."""
        failed = [(name, "failed", message) for name, message in self.failed.items()]
        return failed + [(plan.name, "left out", _reason(over)) for plan, over in self.left_out.items()]


def search(teacher: Plan, plans: Sequence[Plan], work: Work, enough: Sequence[Condition]) -> Found:
    """Carry the plans out, until one meets all of `enough`; those that cannot by their shape are left out, unless
    another trains their stages on its way: each stage that is trained has its int8 file and its row.

    Where none can, the one that comes nearest by its shape is carried out.

    Args:
        teacher: its float32 file. enough: none of them carries all plans out.

    Raises:
        KerasBertError: the teacher's file or all others failed.
    """
    first = work.row(teacher)
    found, forecast = Found([first], {}, {}), Forecast(work.opened, first, enough)

    def meets_all(plan: Plan) -> bool:
        """Carry it out, after those on its way."""
        for step in [each for each in found.left_out if each.begins(plan)]:
            del found.left_out[step]
            _carry_out(step, work, found)
        return _carry_out(_possible(plan, work), work, found) and bool(enough) and meets(found.rows[-1], enough, first)

    for planned in plans:
        plan = _possible(planned, work)
        if over := _too_much(forecast, plan):
            found.left_out[plan] = over
            print(f"{plan.name} is left out: {_reason(over)}")
        elif meets_all(plan):
            return found
    if found.left_out and all(row["checkpoint"] == first["checkpoint"] for row in found.rows):
        closest = min(found.left_out, key=lambda plan: total_shortfall(found.left_out[plan], enough, first))
        print(f"{closest.name} comes nearest by its shape")
        del found.left_out[closest]
        meets_all(closest)
    if len(found.rows) == 1:
        reasons = "; ".join(": ".join(each) for each in found.failed.items())
        raise KerasBertError(f"no plan could be carried out; {reasons}")
    return found


def _reason(over: Mapping[str, float]) -> str:
    return f"{spelled(over)} by its shape alone"


def _too_much(forecast: Forecast, plan: Plan) -> dict[str, float]:
    """What of a plan's file will be too much; nothing where that cannot be told, for carrying it out will tell why."""
    try:
        return forecast.too_much(plan)
    except KerasBertError:
        return {}


def _possible(plan: Plan, work: Work) -> Plan:
    """Without its vocabulary where that has failed: a corpus whose characters alone are more can still lose layers."""
    if len(plan.stages) > 1 and plan.stages[0].name == "vocabulary" and work.has_failed(plan.stages[0]):
        return dataclasses.replace(plan, stages=plan.stages[1:])
    return plan


def _carry_out(plan: Plan, work: Work, found: Found) -> bool:
    """Add the plan's row, or why there is none; whether there is one."""
    try:
        found.rows.append(work.row(plan))
    except KerasBertError as error:
        found.failed[plan.name] = str(error)
        print(f"{plan.name} failed: {error}", file=sys.stderr)
        return False
    return True
