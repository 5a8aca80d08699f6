"""What a plan's file will cost, told before hours of training: that of an untrained model of the same shape."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_bert.models.structure import keep_layers, keep_tokens, prune_structure, spread_layers

from ..quiet import quiet_imports
from ..tflite.recipes import RECIPES
from .corpus import task_texts
from .job import Job
from .measure import times_as_long
from .plans import Plan, Stage
from .target import Condition
from .vocabulary import trim_vocabulary

# How far over its limit, as a share of that, a forecast must be to be believed: files of one shape differ by digits in
# their metadata; latencies from take to take, and where layers are unlike, which a forecast takes for alike.
_MARGINS = {"size": 0.02, "parameters": 0.0, "latency": 0.25}


class Forecast:
    """Says which measures of a plan's file will be over a target's limits whatever its training brings.

    Args:
        opened: the teacher, its task and data. first: the teacher's row, with its file.
        conditions: of the target; those that only a trained file can tell are not judged.
    """

    def __init__(self, opened: Job, first: Mapping[str, Any], conditions: Sequence[Condition]) -> None:
        self._opened, self._first = opened, first
        self._conditions = [c for c in conditions if c.name in _MARGINS and c.operator in ("<", "<=")]
        self._models: dict[tuple[Stage, ...], Any] = {(): opened.model}

    def too_much(self, plan: Plan) -> dict[str, float]:
        """The measures that will be over their limits, by name; none for a plan without training, which costs little.

        Raises:
            KerasBertError: no such model can be made, or no such file.
        """
        if not plan.stages or not self._conditions:
            return {}
        found = self._measures(plan)
        return {
            condition.name: found[condition.name]
            for condition in self._conditions
            if condition.shortfall(found, self._first) > _MARGINS[condition.name]
        }

    def _measures(self, plan: Plan) -> dict[str, float]:
        model = self._model(plan.stages)
        found: dict[str, float] = {"parameters": model.count_params()}
        asked = {condition.name for condition in self._conditions}
        if asked == {"parameters"}:
            return found
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.tflite"
            _write(model, plan.recipe, path)
            found["size"] = path.stat().st_size
            if "latency" in asked:
                ratio = times_as_long(path, pathlib.Path(self._first["file"]), self._opened.task, self._opened.dev)
                found["latency"] = ratio * self._first["latency"]
        return found

    def _model(self, stages: tuple[Stage, ...]) -> Any:
        """The teacher after these stages without their training; only what the next plan may begin with is kept."""
        if stages not in self._models:
            before = self._model(stages[:-1])
            self._models[stages] = _shaped(before, stages[-1].sizes, self._opened)
        beginnings = [stages[:count] for count in range(len(stages) + 1)]
        self._models = {begun: self._models[begun] for begun in beginnings}
        return self._models[stages]


def _shaped(model: Any, sizes: Mapping[str, int], opened: Job) -> Any:
    """A stage's model before training, as wide and deep as it will be; which heads and units stay does not matter."""
    config = model.config
    if "vocabulary" in sizes:
        trimmed = trim_vocabulary(model.tokenizer, task_texts(opened.task.name, opened.train), sizes["vocabulary"])
        return keep_tokens(model, trimmed.kept_ids, trimmed.tokenizer)
    if "layers" in sizes:
        return keep_layers(model, spread_layers(config.num_layers, sizes["layers"]))
    all_units = config.feedforward_sizes
    share = sizes["feedforward"] * len(all_units) / sum(all_units)
    units = [np.arange(max(1, round(share * count))) for count in all_units]
    return prune_structure(model, heads=[np.arange(sizes["heads"])] * len(all_units), units=units)


def _write(model: Any, recipe: str, path: pathlib.Path) -> None:
    with quiet_imports():
        from ..tflite.archive import write_file
        from ..tflite.convert import convert
        from ..tflite.features import text_features
        from ..tflite.layout import plan_layout
    layout = plan_layout(model, None, "default", recipe)
    write_file(path, *convert(model, RECIPES[recipe], layout, text_features(model)))
