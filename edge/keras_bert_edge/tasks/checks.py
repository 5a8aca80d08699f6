"""Checks that tasks share."""

import numbers

from ..errors import EdgeError


def require_outputs(engine, widths, path):
    """EdgeError unless the model has the outputs `widths`: name -> size of the last axis, None for any."""
    for name, width in widths.items():
        if name not in engine.output_widths:
            raise EdgeError(f"{path} has the outputs {sorted(engine.output_widths)}, and {name!r} was expected")
        if width is not None and engine.output_widths[name] != width:
            raise EdgeError(f"{path} has {engine.output_widths[name]} values in {name!r}, and {width} labels")


def require_single_text(task, pair):
    """EdgeError if a pair came to a task that reads one text."""
    if pair is not None:
        raise EdgeError(f"{task} takes one text, not a pair")


def require_counts(**values):
    """EdgeError unless each option is an integer of at least 1."""
    for name, value in values.items():
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
            raise EdgeError(f"{name} must be an integer of at least 1, not {value!r}")
