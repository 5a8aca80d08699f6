"""Checks that tasks share."""

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
